"""Pages, below /{shop}/."""

from django.urls import URLPattern, path

from models_app.views import data, registry, training

urlpatterns: list[URLPattern] = [
    path("data", data.data_list, name="data_list"),
    path("data/new", data.data_new, name="data_new"),
    path("data/from-ratings", data.data_from_ratings, name="data_from_ratings"),
    path("data/samples/<str:size>.csv", data.sample_file, name="sample_file"),
    path("data/<str:version_id>", data.dataset_version_detail, name="dataset_version_detail"),
    path("data/<str:version_id>/status", data.dataset_version_status, name="dataset_version_status"),
    path("data/<str:version_id>/columns", data.version_columns, name="version_columns"),
    path("data/<str:version_id>/cancel", data.version_cancel, name="version_cancel"),
    path("data/<str:version_id>/retry", data.version_retry, name="version_retry"),
    path("data/<str:version_id>/files/<str:kind>", data.version_file, name="version_file"),
    path("train", training.run_list, name="run_list"),
    path("train/new", training.run_new, name="run_new"),
    path("train/estimate", training.run_estimate, name="run_estimate"),
    path("train/compare", training.compare, name="compare"),
    path("train/compare/status", training.compare_status, name="compare_status"),
    path("train/runs/<str:run_id>", training.run_detail, name="run_detail"),
    path("train/runs/<str:run_id>/status", training.run_status, name="run_status"),
    path("train/runs/<str:run_id>/cancel", training.run_cancel, name="run_cancel"),
    path("models", registry.model_list, name="model_list"),
    path("models/<str:model_id>", registry.model_detail, name="model_detail"),
    path("models/versions/<str:version_id>", registry.version_detail, name="version_detail"),
    path("models/versions/<str:version_id>/card", registry.version_card, name="version_card"),
]
