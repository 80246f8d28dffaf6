"""A run keeps its metrics by kind of shopper and of item."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('models_app', '0004_ratings_until'),
    ]

    operations = [
        migrations.AddField(
            model_name='trainingrun',
            name='segments',
            field=models.JSONField(blank=True, default=list),
        ),
    ]
