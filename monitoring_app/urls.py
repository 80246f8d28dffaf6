"""Pages, below /{shop}/."""

from django.urls import URLPattern, path

from monitoring_app import views

urlpatterns: list[URLPattern] = [
    path("deployments/<str:deployment_id>/live", views.live_numbers, name="live_numbers"),
]
