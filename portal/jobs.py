"""Long work of any stage under one address: the ids of runs, dataset versions and rollouts are job ids."""

from typing import Any

from django.urls import reverse

from deployments_app.models import Rollout
from models_app.models import DatasetVersion, TrainingRun
from portal.core.actors import Actor
from portal.core.api import JOB_STATES, job_body
from portal.core.errors import NotFound
from portal.core.models import Shop
from portal.core.permissions import authorize

# Kind -> (verb, what its name needs, the page that shows it)
TITLES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "dsv": ("Check", ("dataset",), "dataset_version_detail"),
    "run": ("Train", ("dataset_version__dataset",), "run_detail"),
    "rol": ("", ("release", "deployment"), "rollout_detail"),
}

FINISHED = ("succeeded", "failed", "canceled")

# Prefix of the id -> (row, action that may read it, where its result is)
KINDS: dict[str, tuple[type[Any], str, str]] = {
    "dsv": (DatasetVersion, "datasets.read", "/api/v1/dataset-versions/"),
    "run": (TrainingRun, "training.read", "/api/v1/training-runs/"),
    "rol": (Rollout, "rollouts.read", "/api/v1/rollouts/"),
}


def find_job(actor: Actor, shop: Shop, job_id: str) -> dict[str, Any]:
    """Describe one job of the shop; raises NotFound for others' and unknown ids."""
    kind = KINDS.get(job_id.partition("_")[0])
    if kind is None:
        raise NotFound("There is no such job.")
    model, action, url = kind
    authorize(actor, action, shop)
    job: Any = model._default_manager.filter(pk=job_id, shop=shop).first()
    if job is None:
        raise NotFound("There is no such job.")
    return job_body(job, url + job_id)


def running_jobs(shop: Shop, limit: int = 5) -> list[dict[str, Any]]:
    """The shop's unfinished jobs, newest first, as the tray shows them."""
    unfinished = {status for status, state in JOB_STATES.items() if state in ("queued", "running")} - {
        "uploading"
    }
    found: list[Any] = []
    for kind, (model, _, _) in KINDS.items():
        rows = model._default_manager.filter(shop=shop, status__in=unfinished).select_related(
            *TITLES[kind][1]
        )
        found.extend((job, kind) for job in rows.order_by("-created_at")[:limit])
    found.sort(key=lambda pair: pair[0].created_at, reverse=True)
    return [
        {
            "label": f"{TITLES[kind][0]} {job}",
            "url": reverse(TITLES[kind][2], args=[shop.slug, job.pk]),
            "stage": getattr(job, "reason", "") or job.stage or job.status,
            "pct": job.progress_pct,
        }
        for job, kind in found[:limit]
    ]
