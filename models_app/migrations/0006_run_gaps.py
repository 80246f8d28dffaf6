"""A run keeps how evenly it serves groups of shoppers and shows sellers and categories."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('models_app', '0005_run_segments'),
    ]

    operations = [
        migrations.AddField(
            model_name='trainingrun',
            name='gaps',
            field=models.JSONField(blank=True, default=dict),
        ),
    ]
