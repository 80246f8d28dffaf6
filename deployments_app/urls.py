"""Pages, below /{shop}/."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
