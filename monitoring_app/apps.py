from django.apps import AppConfig


class MonitoringAppConfig(AppConfig):
    name = "monitoring_app"
    verbose_name = "Live numbers"

    def ready(self) -> None:
        from monitoring_app.models import Collector, ConsistencyWatch
        from portal.core.dispatch import dispatched

        dispatched(Collector)
        dispatched(ConsistencyWatch)
