"""Celery tasks: take an id, call one service."""

from celery import shared_task

from monitoring_app.models import ConsistencyWatch
from monitoring_app.services.collecting import collect
from monitoring_app.services.consistency import check_consistency


@shared_task(name="monitoring_app.collect")
def collect_task(collector_id: str) -> None:
    collect(collector_id)


@shared_task(name=ConsistencyWatch.TASK)
def check_consistency_task(watch_id: str) -> None:
    check_consistency(watch_id)
