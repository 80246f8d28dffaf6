"""The lease pattern: one worker at a time, every write fenced, nothing lost with a worker or a message."""

import os
import signal
import subprocess
import sys
import time

import pytest
from django.db import connection
from django.db.models.functions import Now

from models_app.models import TrainingRun
from portal.core import dispatch
from portal.core.errors import Canceled, LeaseLost
from portal.core.heartbeat import heartbeat
from portal.core.jobs import claim, leased, wake_fields
from portal.core.models import Event
from portal.core.testing import at_once
from portal.core.tests.test_transitions import make_run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sent(monkeypatch):
    """Wake-ups, instead of a broker: what is sent, to which queue."""
    messages = []
    monkeypatch.setattr(dispatch, "enqueue", lambda model, pk: messages.append(pk) or True)
    return messages


def expire(run):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE models_app_trainingrun SET lease_until = now() - interval '1 second' WHERE id = %s",
            [run.pk],
        )


def test_of_16_workers_one_claims():
    run = make_run()
    results = at_once(16, lambda _: claim(TrainingRun, run.pk, statuses=TrainingRun.CLAIMABLE))
    assert len([result for result in results if result is not None]) == 1
    run.refresh_from_db()
    assert run.attempt == 1
    assert run.lease_until is not None


def test_a_finished_row_is_not_claimed():
    run = make_run("succeeded")
    assert claim(TrainingRun, run.pk, statuses=TrainingRun.CLAIMABLE) is None


def test_an_expired_lease_is_taken_over_and_the_first_worker_writes_nothing_more():
    run = make_run("running")
    first = claim(TrainingRun, run.pk, statuses=TrainingRun.CLAIMABLE)
    expire(run)
    second = claim(TrainingRun, run.pk, statuses=TrainingRun.CLAIMABLE)
    assert second.attempt == first.attempt + 1
    with pytest.raises(LeaseLost):
        first.progress("fit", 1, 2)
    with pytest.raises(LeaseLost):
        first.write(stage="zombie")
    second.progress("fit", 1, 2)
    run.refresh_from_db()
    assert (run.stage, run.progress_done) == ("fit", 1)


def test_progress_of_a_canceling_job_stops_it():
    run = make_run("running")
    mine = claim(TrainingRun, run.pk, statuses=TrainingRun.CLAIMABLE)
    TrainingRun.objects.filter(pk=run.pk).update(status="canceling")
    with pytest.raises(Canceled):
        mine.progress("fit", 1, 2)


def test_the_heartbeat_renews_the_lease_while_the_block_runs(settings):
    settings.LEASE_S = 0.9
    run = make_run("running")
    with leased(TrainingRun, run.pk) as mine:
        time.sleep(2.5)  # nearly three leases
        assert claim(TrainingRun, run.pk, statuses=TrainingRun.CLAIMABLE) is None
        mine.write(stage="still mine")
    expire(run)
    assert claim(TrainingRun, run.pk, statuses=TrainingRun.CLAIMABLE) is not None


def test_the_heartbeat_of_a_stopped_worker_ends(settings):
    settings.LEASE_S = 0.6
    run = make_run("running")
    mine = claim(TrainingRun, run.pk, statuses=TrainingRun.CLAIMABLE)
    frozen = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        real = os.getpid
        os.getpid = lambda: frozen.pid
        try:
            beating = heartbeat(TrainingRun._meta.db_table, run.pk, mine.attempt)
            beating.__enter__()
        finally:
            os.getpid = real
        os.kill(frozen.pid, signal.SIGSTOP)
        time.sleep(2.0)
        assert claim(TrainingRun, run.pk, statuses=TrainingRun.CLAIMABLE) is not None
        beating.__exit__(None, None, None)
    finally:
        frozen.kill()
        frozen.wait()


def test_the_dispatcher_wakes_what_is_due_and_not_what_is_held(sent):
    due, held, done = make_run(), make_run(), make_run("succeeded")
    for run in (due, held, done):
        TrainingRun.objects.filter(pk=run.pk).update(**wake_fields())
    claim(TrainingRun, held.pk, statuses=TrainingRun.CLAIMABLE)
    dispatch.dispatch_once()
    assert sent == [due.pk]
    dispatch.dispatch_once()
    assert sent == [due.pk]  # sent a moment ago: not yet lost


def test_a_lost_message_is_sent_again(sent):
    run = make_run()
    TrainingRun.objects.filter(pk=run.pk).update(due_at=Now(), sent_at=Now() - dispatch.timedelta(seconds=6))
    dispatch.dispatch_once()
    assert sent == [run.pk]


def test_a_job_whose_worker_dies_three_times_fails_with_that_reason(sent):
    run = make_run("running")
    for attempt in (1, 2, 3):
        assert claim(TrainingRun, run.pk, statuses=TrainingRun.CLAIMABLE).attempt == attempt
        expire(run)
        dispatch.dispatch_once()
    run.refresh_from_db()
    assert run.status == "failed"
    assert sent == [run.pk, run.pk]
    event = Event.objects.get(object_id=run.pk)
    assert event.reason == "worker lost 3 times"
    assert "memory" in run.error["detail"]


def test_a_broker_that_is_away_loses_nothing(settings, monkeypatch):
    run = make_run()
    TrainingRun.objects.filter(pk=run.pk).update(**wake_fields())
    monkeypatch.setattr(dispatch, "current_app", _BrokerAway())
    dispatch.dispatch_once()
    run.refresh_from_db()
    assert run.sent_at is None
    assert run.status == "queued"


class _BrokerAway:
    def send_task(self, *args, **options):
        raise ConnectionRefusedError
