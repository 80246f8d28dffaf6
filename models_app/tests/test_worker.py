"""The chain through a real broker and real Celery workers, one of which dies in the middle."""

import os
import signal
import subprocess
import sys
import time

import pytest
from django.conf import settings
from django.db import connection

from models_app.models import ModelVersion
from models_app.services.datasets import start_check
from models_app.services.training import start_training
from models_app.tests.factories import make_version, ratings_csv
from portal.core.dispatch import dispatch_once
from portal.core.models import Event

pytestmark = pytest.mark.django_db(transaction=True)


def worker_environment():
    """Point a worker at this test's database; its lease is short, so that its death is noticed soon."""
    database = connection.settings_dict
    host = str(database["HOST"]).replace("/", "%2F")
    port = f":{database['PORT']}" if database["PORT"] else ""
    address = f"postgresql://{database['USER']}:{database['PASSWORD']}@{host}{port}/{database['NAME']}"
    return {**os.environ, "DATABASE_URL": address, "LEASE_S": "1.5"}


@pytest.fixture
def start_worker():
    started = []

    def start():
        command = [sys.executable, "-m", "celery", "--app", "portal.celery", "worker"]
        options = ["--queues", "train", "--pool", "solo", "--without-gossip", "--without-mingle"]
        worker = subprocess.Popen(
            [*command, *options, "--loglevel", "WARNING"], env=worker_environment(), cwd=settings.BASE_DIR
        )
        started.append(worker)
        return worker

    yield start
    for worker in started:
        if worker.poll() is None:
            worker.kill()
        worker.wait()


def wait_until(row, condition, seconds=90):
    """Do the dispatcher's turns until the row is as wanted."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        dispatch_once()
        row.refresh_from_db()
        if condition(row):
            return
        time.sleep(0.05)
    raise AssertionError(f"{row} is still {row.status}, {row.stage}, attempt {row.attempt}: {row.error}")


def test_a_run_whose_worker_is_killed_finishes_once_on_the_next(shop, analyst, start_worker):
    first = start_worker()
    version = make_version(analyst, shop, ratings_csv(users=800, items=300, each=40))
    start_check(analyst, version)
    wait_until(version, lambda row: row.status in ("ready", "failed"))
    assert version.status == "ready"
    assert version.row_count == 32_000

    long = [{"algorithm": "als", "config": {"iterations": 100}}]
    _, run = start_training(analyst, shop, version, "shop-main", long)
    wait_until(run, lambda row: row.status == "running" and row.stage == "fit")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    start_worker()
    wait_until(run, lambda row: row.status in ("succeeded", "failed"))
    assert (run.status, run.attempt) == ("succeeded", 2)
    assert "Attempt 2: the worker before was lost" in run.log
    assert ModelVersion.objects.get().run_id == run.pk
    assert Event.objects.filter(object_id=run.pk, to_status="succeeded").count() == 1
    assert run.verdicts["popularity"]["verdict"] == "better"
