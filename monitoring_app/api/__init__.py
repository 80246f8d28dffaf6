"""API paths of this stage, below /api/v1/."""

from monitoring_app.api import consistency, feedback, live

__all__ = ["urlpatterns"]

urlpatterns = [*live.urlpatterns, *feedback.urlpatterns, *consistency.urlpatterns]
