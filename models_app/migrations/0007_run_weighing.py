"""A run keeps what each row of its file counts: weights by event type, and how soon a row counts half."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('models_app', '0006_run_gaps'),
    ]

    operations = [
        migrations.AddField(
            model_name='trainingrun',
            name='weighing',
            field=models.JSONField(blank=True, default=dict),
        ),
    ]
