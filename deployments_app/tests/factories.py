"""A shop with people, an environment, a placement, and model versions whose artifacts are real and small."""

import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from django.utils import timezone

from deployments_app.models import Deployment, Environment, Promotion, Release, Rollout, Workload
from deployments_app.plan_rules import AT_ONCE, Plan, Step
from deployments_app.services.advance import advance_rollout
from deployments_app.services.promotions import request_promotion
from deployments_app.services.reviews import review_promotion
from deployments_app.services.workloads import reconcile_deployment
from engine.tests.serving_process import make_artifact
from models_app.models import Dataset, DatasetVersion, ModelVersion, RegisteredModel, TrainingRun
from portal.core.actors import Actor
from portal.core.ids import new_id
from portal.core.models import Role, Shop
from portal.core.storage import store_tree, tree_path
from portal.core.testing import make_actor, make_shop

# Steps that pass as soon as they are judged: time is told to the plan, never waited for.
QUICK_PLAN = Plan(
    steps=(Step(10, 0, 100), Step(50, 0, 100), Step(100)), max_wait_s=60, ready_within_s=30
).to_json()
GOOD = {"value": 0.31, "low": 0.29, "high": 0.33, "n": 500}
BETTER = {"difference": 0.05, "low": 0.03, "high": 0.07, "verdict": "better", "n_users": 500}


@cache
def _kept_artifact(algorithm: str, storage: str) -> tuple[str, int]:
    """Fit and store one small model an algorithm; the same digest for every test of this process."""
    folder = Path(tempfile.mkdtemp()) / "model"
    made = make_artifact(folder, algorithm)
    size = sum(path.stat().st_size for path in folder.iterdir())
    store_tree(folder, made.digest)
    shutil.rmtree(folder.parent, ignore_errors=True)
    return made.digest, size


def stored_artifact(algorithm: str) -> tuple[str, int]:
    return _kept_artifact(algorithm, str(tree_path("x")))


def make_model_version(shop: Shop, algorithm: str = "als", **changes: Any) -> ModelVersion:
    """Register a version; metrics, verdicts and size_bytes may be given."""
    digest, size = stored_artifact(algorithm)
    model, _ = RegisteredModel.objects.get_or_create(shop=shop, name="shop-main")
    dataset, _ = Dataset.objects.get_or_create(shop=shop, name="ratings")
    data = DatasetVersion.objects.filter(dataset=dataset).first() or DatasetVersion.objects.create(
        shop=shop, dataset=dataset, number=1, status="ready", interaction_count=464, user_count=60
    )
    metrics = {"ndcg@10": GOOD, "coverage@10": {"value": 0.4, "low": None, "high": None, "n": 500}}
    run = TrainingRun.objects.create(
        shop=shop,
        group=new_id("grp"),
        dataset_version=data,
        registered_model=model,
        algorithm=algorithm,
        status="succeeded",
        metrics=changes.get("metrics", metrics),
        verdicts=changes.get("verdicts", {"popularity": BETTER}),
    )
    return ModelVersion.objects.create(
        registered_model=model,
        number=ModelVersion.objects.filter(registered_model=model).count() + 1,
        run=run,
        artifact_digest=changes.get("artifact_digest", digest),
        size_bytes=changes.get("size_bytes", size),
        algorithm=algorithm,
        metrics=run.metrics,
        card="# A model",
    )


@dataclass
class World:
    """One shop with everything that a story needs."""

    shop: Shop
    environment: Environment
    deployment: Deployment
    analyst: Actor
    approver: Actor
    operator: Actor
    viewer: Actor
    admin: Actor
    numbers: dict[str, int] = field(default_factory=dict)

    def version(self, algorithm: str = "als", **changes: Any) -> ModelVersion:
        return make_model_version(self.shop, algorithm, **changes)

    def request(
        self, version: ModelVersion | None = None, *, plan: dict | None = None, actor: Actor | None = None
    ) -> Promotion:
        self.deployment.refresh_from_db()
        return request_promotion(
            actor or self.analyst,
            self.shop,
            version or self.version(),
            self.deployment,
            plan=plan or QUICK_PLAN,
        )

    def approve(self, promotion: Promotion, actor: Actor | None = None) -> Promotion:
        return review_promotion(actor or self.approver, self.shop, promotion, "approve", "looks right to me")

    def start(self, version: ModelVersion | None = None, **options: Any) -> Rollout:
        """Ask and approve; returns the rollout, which no worker has looked at."""
        promotion = self.approve(self.request(version, **options))
        return Rollout.objects.get(promotion=promotion)

    def advance(self, rollout: Rollout, times: int = 1) -> Rollout:
        """Let a worker take that many steps with the rollout."""
        for _ in range(times):
            advance_rollout(rollout.pk)
        rollout.refresh_from_db()
        return rollout

    def reconcile(self) -> None:
        reconcile_deployment(self.deployment.pk)
        self.deployment.refresh_from_db()

    def make_live(self, version: ModelVersion | None = None) -> Release:
        """Bring a version to everybody in one step; needs servers that are ready at once."""
        rollout = self.start(version, plan=AT_ONCE.to_json())
        for _ in range(12):
            if self.advance(rollout).status == "succeeded":
                break
            pass_step(rollout)
        assert rollout.status == "succeeded", (rollout.status, rollout.reason)
        self.deployment.refresh_from_db()
        return rollout.release


def make_world(**environment: Any) -> World:
    shop = make_shop()
    made = Environment.objects.create(shop=shop, slug="production", name="Production", **environment)
    deployment = Deployment.objects.create(
        shop=shop, environment=made, slug="home", name="Home page", is_open=True
    )
    people = {role: make_actor(shop, role) for role in Role.values}
    return World(
        shop,
        made,
        deployment,
        people[Role.ANALYST],
        people[Role.APPROVER],
        people[Role.OPERATOR],
        people[Role.VIEWER],
        people[Role.ADMIN],
    )


def pass_step(rollout: Rollout, verdict: str = "pass", sentence: str = "") -> None:
    """Hand over a verdict on the present step, as the measuring stage does."""
    from deployments_app.services.verdicts import record_verdict

    rollout.refresh_from_db()
    answers = {"name": "answers", "verdict": verdict, "value": 500, "stable": 4500, "sentence": sentence}
    record_verdict(rollout.pk, rollout.step, verdict, [answers])


def verbs(obj: Any) -> list[str]:
    """Events of an object, oldest first, by their verbs."""
    from portal.core.models import Event

    return list(
        Event.objects.filter(object_id=obj.pk).order_by("created_at", "pk").values_list("verb", flat=True)
    )


def servers_of(release: Release) -> Workload | None:
    return Workload.objects.filter(release=release).first()


def days_ago(days: float) -> datetime:
    return timezone.now() - timezone.timedelta(days=days)
