from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "portal"

    def ready(self) -> None:
        import portal.celery  # noqa: F401  (sets the current Celery application)
        from models_app import live, received
        from monitoring_app.selectors import ratings
        from portal import context_processors, frame

        # What an earlier stage or the frame shows of a later stage is handed over here.
        live.find_live_version = frame.live_version
        received.count_ratings, received.read_ratings = ratings.count_ratings, ratings.read_ratings
        context_processors.count_waiting_approvals = frame.waiting_approvals
        context_processors.list_running_jobs = frame.jobs
        context_processors.list_firing_alerts = frame.alerts
