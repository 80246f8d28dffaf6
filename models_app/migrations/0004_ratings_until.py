"""A dataset version says until when the ratings that it is made of were received."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("models_app", "0003_run_roles")]

    operations = [
        migrations.AddField(
            model_name="datasetversion",
            name="ratings_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
