from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("monitoring_app", "0005_alert_release")]

    operations = [
        migrations.AddField(
            model_name="metricpoint",
            name="copies",
            field=models.BigIntegerField(default=0),
        ),
    ]
