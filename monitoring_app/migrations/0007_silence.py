from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("monitoring_app", "0006_metric_copies")]

    operations = [
        migrations.RemoveField(model_name="collector", name="problem"),
        migrations.AddField(
            model_name="collector", name="silent", field=models.JSONField(default=list)
        ),
        migrations.AddField(
            model_name="consistencywatch", name="silent", field=models.JSONField(default=list)
        ),
    ]
