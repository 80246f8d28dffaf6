"""Celery tasks: take an id, call one service."""

from celery import shared_task

from monitoring_app.services.collecting import collect


@shared_task(name="monitoring_app.collect")
def collect_task(collector_id: str) -> None:
    collect(collector_id)
