"""Celery tasks: each takes an id, calls one service, and does nothing when the row has moved on."""

from celery import shared_task

from deployments_app.models import Deployment, Environment, Rollout
from deployments_app.services import advance, cluster_gateways, workloads


@shared_task(name=Rollout.TASK)
def advance_rollout(rollout_id: str) -> None:
    advance.advance_rollout(rollout_id)


@shared_task(name=Deployment.TASK)
def reconcile_deployment(deployment_id: str) -> None:
    workloads.reconcile_deployment(deployment_id)


@shared_task(name=Environment.TASK)
def reconcile_environment(environment_id: str) -> None:
    cluster_gateways.reconcile_environment(environment_id)
