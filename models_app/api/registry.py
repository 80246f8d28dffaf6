"""Models, their versions, comparisons and previews."""

import json

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from models_app import selectors
from models_app.api import serializers as shapes
from models_app.models import ModelVersion
from models_app.selectors.comparisons import MAX_RUNS
from models_app.services.refusals import invalid
from models_app.services.registry import artifact_folder
from portal.core.api import ApiView
from portal.core.permissions import authorize

MAX_K = 100
MAX_EXPLAINED = 20  # each reason costs about as much as the list
MAX_SHOPPERS = 1000


def _whole(request: Request, name: str, default: int, most: int) -> int:
    """Read a whole number from 1 to `most` from the query."""
    given = request.query_params.get(name, str(default))
    if len(given) > 9 or not given.isascii() or not given.isdigit() or not 1 <= int(given) <= most:
        raise invalid(f"/{name}", f"{name} is a number from 1 to {most}.")
    return int(given)


def _yes(request: Request, name: str) -> bool:
    """Read a parameter that is true or false, false if not given."""
    given = request.query_params.get(name, "false")
    if given not in ("true", "1", "false", "0"):
        raise invalid(f"/{name}", f"{name} is true or false.")
    return given in ("true", "1")


class ModelsView(ApiView):
    @extend_schema(responses=shapes.RegisteredModelSerializer(many=True), operation_id="models_list")
    def get(self, request: Request) -> Response:
        authorize(self.actor, "models.read", self.shop)
        return self.page(selectors.registered_models(self.shop), shapes.RegisteredModelSerializer)


class ModelView(ApiView):
    @extend_schema(responses=shapes.RegisteredModelSerializer, operation_id="models_get")
    def get(self, request: Request, model_id: str) -> Response:
        authorize(self.actor, "models.read", self.shop)
        model = selectors.registered_model(self.shop, model_id)
        return Response(shapes.RegisteredModelSerializer(model).data)


class VersionsView(ApiView):
    filters = frozenset({"model"})

    @extend_schema(
        responses=shapes.ModelVersionSerializer(many=True),
        parameters=[OpenApiParameter("model", str, description="Id of a model: its versions only.")],
        operation_id="model_versions_list",
    )
    def get(self, request: Request) -> Response:
        authorize(self.actor, "models.read", self.shop)
        wanted = request.query_params.get("model")
        model = selectors.registered_model(self.shop, wanted) if wanted is not None else None
        return self.page(selectors.model_versions(self.shop, model), shapes.ModelVersionSerializer)


class OneVersion(ApiView):
    def version(self, version_id: str) -> ModelVersion:
        authorize(self.actor, "models.read", self.shop)
        return selectors.model_version(self.shop, version_id)


class VersionView(OneVersion):
    @extend_schema(responses=shapes.ModelVersionDetailSerializer, operation_id="model_versions_get")
    def get(self, request: Request, version_id: str) -> Response:
        return Response(shapes.ModelVersionDetailSerializer(self.version(version_id)).data)


class CardView(OneVersion):
    @extend_schema(responses={(200, "text/markdown"): OpenApiTypes.STR}, operation_id="model_versions_card")
    def get(self, request: Request, version_id: str) -> HttpResponse:
        """The model card: Markdown with YAML front matter."""
        card = self.version(version_id).card
        return HttpResponse(card, content_type="text/markdown; charset=utf-8")


class ManifestView(OneVersion):
    @extend_schema(responses=OpenApiTypes.OBJECT, operation_id="model_versions_manifest")
    def get(self, request: Request, version_id: str) -> Response:
        """The artifact's manifest: shape, type, size and SHA-256 of every member."""
        folder = artifact_folder(self.version(version_id))
        return Response(json.loads((folder / "manifest.json").read_bytes()))


class ShoppersView(OneVersion):
    @extend_schema(
        responses=shapes.ShoppersSerializer,
        parameters=[OpenApiParameter("n", int, description=f"1 to {MAX_SHOPPERS}, 10 if not given.")],
        operation_id="model_versions_shoppers",
    )
    def get(self, request: Request, version_id: str) -> Response:
        """Some shoppers the version knows, from the least to the most active: to try, or to rehearse with."""
        version = self.version(version_id)
        n = _whole(request, "n", 10, MAX_SHOPPERS)
        return Response({"shoppers": selectors.sample_users(version, n)})


class PreviewView(OneVersion):
    @extend_schema(
        responses=shapes.PreviewSerializer,
        parameters=[
            OpenApiParameter("user", str, required=True),
            OpenApiParameter("k", int, description=f"1 to {MAX_K}, 10 if not given."),
            OpenApiParameter(
                "explain", bool, description=f"Say why each item is there; k is then at most {MAX_EXPLAINED}."
            ),
        ],
        operation_id="model_versions_preview",
    )
    def get(self, request: Request, version_id: str) -> Response:
        """What the version would show to one shopper, beside that shopper's history."""
        version = self.version(version_id)
        user = request.query_params.get("user", "")
        if not user or len(user) > 256:
            raise invalid("/user", "Name a shopper: ?user=…, at most 256 characters.")
        explain = _yes(request, "explain")
        k = _whole(request, "k", 10, MAX_EXPLAINED if explain else MAX_K)
        found = selectors.preview(version, user, k, explain=explain)
        return Response(shapes.PreviewSerializer(found).data)


class ComparisonView(ApiView):
    @extend_schema(
        responses=shapes.ComparisonSerializer,
        parameters=[OpenApiParameter("runs", str, required=True, description="Ids, separated by commas.")],
        operation_id="comparisons_get",
    )
    def get(self, request: Request) -> Response:
        """Runs side by side: the best of each metric, and what is no different from it."""
        authorize(self.actor, "training.read", self.shop)
        ids = list(dict.fromkeys(filter(None, request.query_params.get("runs", "").split(","))))
        if not 2 <= len(ids) <= MAX_RUNS:
            raise invalid("/runs", f"Name 2 to {MAX_RUNS} runs: ?runs=run_…,run_…")
        runs = [selectors.training_run(self.shop, each) for each in ids]
        return Response(shapes.ComparisonSerializer(selectors.compare_runs(runs)).data)
