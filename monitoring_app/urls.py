"""Pages, below /{shop}/."""

from django.urls import URLPattern, path

from monitoring_app.views import consistency, live

urlpatterns: list[URLPattern] = [
    path("deployments/<str:deployment_id>/live", live.live_numbers, name="live_numbers"),
    path("deployments/<str:deployment_id>/consistency", consistency.consistency, name="consistency"),
    path("alerts/<str:alert_id>/acknowledge", consistency.alert_acknowledge, name="alert_acknowledge"),
]
