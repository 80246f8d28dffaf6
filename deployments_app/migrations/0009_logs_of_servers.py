from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("deployments_app", "0008_environments_that_go"),
    ]

    operations = [
        migrations.AddField(
            model_name="workload",
            name="log",
            field=models.TextField(blank=True),
        ),
    ]
