from django.apps import AppConfig


class ModelsAppConfig(AppConfig):
    name = "models_app"
    verbose_name = "Data and models"

    def ready(self) -> None:
        from models_app.models import DatasetVersion, TrainingRun
        from portal.core.dispatch import dispatched

        dispatched(DatasetVersion)
        dispatched(TrainingRun)
