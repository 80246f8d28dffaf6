"""Algorithms, plans and training runs."""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from models_app import selectors
from models_app.api import serializers as shapes
from models_app.models import DatasetVersion, RunRole, TrainingRun
from models_app.services import training as service
from models_app.services.refusals import invalid
from portal.core.api import ApiView, JobSerializer, job_body
from portal.core.errors import Conflict
from portal.core.models import Shop
from portal.core.permissions import authorize

FILTERS = {
    "status": set(TrainingRun.STATUSES),
    "role": set(RunRole.values),
    "group": None,
    "dataset_version": None,
}


class AlgorithmsView(ApiView):
    """What can be trained, with every setting, its range and its help."""

    @extend_schema(responses=shapes.AlgorithmSerializer(many=True), operation_id="algorithms_list")
    def get(self, request: Request) -> Response:
        authorize(self.actor, "training.read", self.shop)
        return Response(shapes.AlgorithmSerializer(selectors.algorithms(), many=True).data)


class PlanView(ApiView):
    """What training on this data would cost and need."""

    @extend_schema(responses=shapes.PlanSerializer, operation_id="training_plan_get")
    def get(self, request: Request, version_id: str) -> Response:
        authorize(self.actor, "datasets.read", self.shop)
        authorize(self.actor, "training.read", self.shop)
        version = _ready_version(self.shop, version_id)
        return Response(shapes.PlanSerializer(selectors.plan_training(version)).data)


def _ready_version(shop: Shop, version_id: str) -> DatasetVersion:
    version: DatasetVersion = selectors.dataset_version(shop, version_id)
    if version.status != "ready":
        raise Conflict(f"{version} is {version.status}; only data that is ready can be trained on.")
    return version


class EstimateView(ApiView):
    """What a training with these settings would cost; nothing is started or kept."""

    repeatable = True

    @extend_schema(
        request=shapes.EstimateTrainingSerializer,
        responses=shapes.ForecastSerializer,
        operation_id="training_runs_estimate",
    )
    def post(self, request: Request) -> Response:
        authorize(self.actor, "datasets.read", self.shop)
        authorize(self.actor, "training.read", self.shop)
        wanted = self.read(shapes.EstimateTrainingSerializer)
        version = _ready_version(self.shop, wanted["dataset_version"])
        recipes = service.check_recipes(wanted["algorithms"])
        return Response(shapes.ForecastSerializer(selectors.forecast(version, recipes)).data)


class RunsView(ApiView):
    filters = frozenset(FILTERS)

    @extend_schema(
        responses=shapes.TrainingRunSerializer(many=True),
        parameters=[OpenApiParameter(name, str) for name in FILTERS],
        operation_id="training_runs_list",
    )
    def get(self, request: Request) -> Response:
        authorize(self.actor, "training.read", self.shop)
        chosen = {}
        for name, allowed in FILTERS.items():
            value = request.query_params.get(name)
            if value is None:
                continue
            if "\0" in value or (allowed is not None and value not in allowed):
                raise invalid(
                    f"/{name}", f"Known are: {', '.join(sorted(allowed or ()))}." if allowed else "No id."
                )
            chosen[name] = value
        return self.page(selectors.training_runs(self.shop).filter(**chosen), shapes.TrainingRunSerializer)

    @extend_schema(
        request=shapes.NewTrainingSerializer,
        responses={202: shapes.StartedTrainingSerializer},
        operation_id="training_runs_create",
    )
    def post(self, request: Request) -> Response:
        """Queue one run an algorithm, and popularity as their baseline."""
        wanted = self.read(shapes.NewTrainingSerializer)
        champion = wanted.pop("champion")
        runs = service.start_training(
            self.actor,
            self.shop,
            selectors.dataset_version(self.shop, wanted.pop("dataset_version")),
            wanted.pop("model"),
            champion=selectors.model_version(self.shop, champion) if champion else None,
            **wanted,
        )
        group = runs[0].group
        headers = {"Location": f"/api/v1/training-runs?group={group}"}
        body = shapes.StartedTrainingSerializer({"group": group, "runs": runs})
        return Response(body.data, status=202, headers=headers)


class OneRun(ApiView):
    def run(self, run_id: str) -> TrainingRun:
        authorize(self.actor, "training.read", self.shop)
        return selectors.training_run(self.shop, run_id)


class RunView(OneRun):
    @extend_schema(responses=shapes.TrainingRunDetailSerializer, operation_id="training_runs_get")
    def get(self, request: Request, run_id: str) -> Response:
        return Response(shapes.TrainingRunDetailSerializer(self.run(run_id)).data)


class LogView(OneRun):
    @extend_schema(responses=shapes.LogSerializer, operation_id="training_runs_log")
    def get(self, request: Request, run_id: str) -> Response:
        return Response({"log": self.run(run_id).log})


class CancelView(OneRun):
    @extend_schema(
        request=shapes.ReasonSerializer, responses={202: JobSerializer}, operation_id="training_runs_cancel"
    )
    def post(self, request: Request, run_id: str) -> Response:
        """Stop a run: at once while it is queued, else after its present iteration."""
        reason = self.read(shapes.ReasonSerializer)["reason"]
        run = service.cancel_run(self.actor, self.run(run_id), reason)
        return Response(job_body(run, f"/api/v1/training-runs/{run.pk}"), status=202)
