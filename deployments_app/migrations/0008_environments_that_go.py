from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('deployments_app', '0007_gateways_of_environments'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='environment',
            name='one_environment_a_slug',
        ),
        migrations.AddField(
            model_name='environment',
            name='removed_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name='environment',
            constraint=models.UniqueConstraint(condition=models.Q(('removed_at__isnull', True)), fields=('shop', 'slug'), name='one_environment_a_slug'),
        ),
    ]
