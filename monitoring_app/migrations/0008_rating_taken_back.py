from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("monitoring_app", "0007_silence")]

    operations = [
        migrations.AlterField(model_name="rating", name="value", field=models.FloatField(null=True)),
        migrations.AddIndex(
            model_name="rating",
            index=models.Index(
                fields=["rated_at"], condition=models.Q(value=None), name="ratings_taken_back"
            ),
        ),
    ]
