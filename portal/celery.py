"""The Celery application: messages are wake-ups, the rows are the truth (see portal.core.jobs)."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

app = Celery("aisle")
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_connection_timeout=2,
    # A publish to a frozen Redis must fail fast, and what a dead worker had popped must come back soon:
    # Kombu sweeps every interval x throttle, 100 s by default.
    broker_transport_options={
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "health_check_interval": 5,
        "visibility_timeout": 60,
        "unacked_restore_throttle": 1,
    },
    task_publish_retry=False,
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_max_tasks_per_child=50,
    worker_hijack_root_logger=False,
    task_serializer="json",
    accept_content=["json"],
    task_default_queue="light",
    timezone="UTC",
)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
