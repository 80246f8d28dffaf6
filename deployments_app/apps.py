from django.apps import AppConfig


class DeploymentsAppConfig(AppConfig):
    name = "deployments_app"
    verbose_name = "Approvals and releases"

    def ready(self) -> None:
        from deployments_app.models import Deployment, Environment, Rollout
        from portal.core.dispatch import dispatched

        dispatched(Rollout)
        dispatched(Deployment)
        dispatched(Environment)
