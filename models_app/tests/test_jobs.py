"""Runs and checks that are canceled, fail, lose their worker or end at the same moment."""

from threading import Barrier

import pytest
from django.db import connection

from models_app.models import DatasetVersion, ModelVersion, TrainingRun
from models_app.services import checking, finishing, fitting
from models_app.services.checking import check_version
from models_app.services.datasets import cancel_version, start_check
from models_app.services.fitting import run_training
from models_app.services.training import cancel_run
from models_app.tests.factories import make_version, ratings_csv, start_runs, train
from portal.core import dispatch
from portal.core.errors import InvalidTransition
from portal.core.jobs import claim
from portal.core.models import Event
from portal.core.storage import scratch_root
from portal.core.testing import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(shop, analyst):
    return make_version(analyst, shop, checked=True)


def expire(job):
    """Let the lease run out, as if the worker had died."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {job._meta.db_table} SET lease_until = now() - interval '1 second' WHERE id = %s",
            [job.pk],
        )


def before(monkeypatch, module, name, act):
    """Do something just before `module.name` is called for the first time."""
    real, done = getattr(module, name), []

    def wrapped(*args, **options):
        if not done:
            done.append(True)
            act()
        return real(*args, **options)

    monkeypatch.setattr(module, name, wrapped)


def verbs(job):
    return list(
        Event.objects.filter(object_id=job.pk).order_by("created_at", "pk").values_list("verb", flat=True)
    )


def test_a_queued_run_is_canceled_at_once_and_its_worker_does_nothing(analyst, version):
    _, candidate = start_runs(analyst, version)
    cancel_run(analyst, candidate, "wrong data")
    assert candidate.status == "canceled"
    train(candidate)
    assert (candidate.status, candidate.attempt) == ("canceled", 0)
    with pytest.raises(InvalidTransition):
        cancel_run(analyst, candidate)


def test_a_running_run_stops_where_it_is_and_registers_nothing(analyst, version, monkeypatch):
    _, candidate = start_runs(analyst, version)
    before(
        monkeypatch,
        fitting,
        "evaluate",
        lambda: cancel_run(analyst, TrainingRun.objects.get(pk=candidate.pk)),
    )
    train(candidate)
    assert candidate.status == "canceled"
    assert (candidate.owner, candidate.lease_until, candidate.due_at) == ("", None, None)
    assert candidate.finished_at is not None
    assert verbs(candidate)[-2:] == ["trainingrun.canceling", "trainingrun.canceled"]
    assert not ModelVersion.objects.exists()
    assert not list(scratch_root().glob(f"{candidate.pk}*"))


def test_a_cancel_that_comes_just_before_the_finish_still_counts(analyst, version, monkeypatch):
    _, candidate = start_runs(analyst, version)
    before(
        monkeypatch,
        fitting,
        "finish_run",
        lambda: cancel_run(analyst, TrainingRun.objects.get(pk=candidate.pk)),
    )
    train(candidate)
    assert candidate.status == "canceled"
    assert not ModelVersion.objects.exists()


def test_a_check_that_is_canceled_keeps_nothing(shop, analyst, monkeypatch):
    version = make_version(analyst, shop)
    start_check(analyst, version)
    before(
        monkeypatch,
        checking,
        "keep_snapshot",
        lambda: cancel_version(analyst, DatasetVersion.objects.get(pk=version.pk)),
    )
    check_version(version.pk)
    version.refresh_from_db()
    assert (version.status, version.interactions_digest, version.lease_until) == ("canceled", "", None)
    assert verbs(version)[-1] == "datasetversion.canceled"


def test_a_split_that_leaves_nothing_to_test_fails_with_its_reason(analyst, version):
    _, candidate = start_runs(analyst, version, split={"method": "leave_last", "last_n": 50})
    train(candidate)
    assert (candidate.status, candidate.error["code"]) == ("failed", "empty_test")
    assert "Choose another split" in candidate.error["detail"]
    assert "Choose another split" in candidate.log


def test_a_mistake_of_ours_is_told_without_its_trace(analyst, version, monkeypatch, caplog):
    def broken(*_, **__):
        raise RuntimeError("secret path /srv/x")

    monkeypatch.setattr(fitting, "evaluate", broken)
    _, candidate = start_runs(analyst, version)
    train(candidate)
    assert (candidate.status, candidate.error["code"]) == ("failed", "internal_error")
    assert "/srv/x" not in candidate.error["detail"] + candidate.log
    assert "secret path" in caplog.text


def test_a_run_that_killed_its_worker_three_times_fails(analyst, version, monkeypatch):
    monkeypatch.setattr(dispatch, "enqueue", lambda model, pk: True)
    _, candidate = start_runs(analyst, version)
    dead = (
        "UPDATE models_app_trainingrun SET attempt = 3, status = 'running', lease_until = now() WHERE id = %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(dead, [candidate.pk])
    expire(candidate)
    dispatch.dispatch_once()
    candidate.refresh_from_db()
    assert candidate.status == "failed"
    assert Event.objects.get(object_id=candidate.pk, to_status="failed").reason == "worker lost 3 times"
    run_training(candidate.pk)
    candidate.refresh_from_db()
    assert (candidate.status, candidate.attempt) == ("failed", 3)


def test_a_zombie_that_wakes_up_after_its_successor_finished_writes_nothing(analyst, version, monkeypatch):
    _, candidate = start_runs(analyst, version)

    def freeze_and_let_another_worker_do_it():
        expire(candidate)
        run_training(candidate.pk)

    before(monkeypatch, fitting, "finish_run", freeze_and_let_another_worker_do_it)
    train(candidate)
    assert (candidate.status, candidate.attempt) == ("succeeded", 2)
    assert ModelVersion.objects.count() == 1
    assert verbs(candidate).count("trainingrun.succeeded") == 1
    assert "Attempt 2" in candidate.log
    assert not list(scratch_root().glob(f"{candidate.pk}*"))


def test_a_zombie_of_a_check_writes_nothing(shop, analyst, monkeypatch):
    version = make_version(analyst, shop)
    start_check(analyst, version)

    def freeze_and_let_another_worker_do_it():
        expire(version)
        check_version(version.pk)

    before(monkeypatch, checking, "transition", freeze_and_let_another_worker_do_it)
    check_version(version.pk)
    version.refresh_from_db()
    assert (version.status, version.attempt) == ("ready", 2)
    assert verbs(version).count("datasetversion.ready") == 1


def test_a_zombie_that_wakes_up_while_its_successor_works_writes_nothing(analyst, version, monkeypatch):
    _, candidate = start_runs(analyst, version)

    def freeze_and_let_another_worker_take_it():
        expire(candidate)
        assert claim(TrainingRun, candidate.pk, statuses=TrainingRun.CLAIMABLE) is not None

    before(monkeypatch, fitting, "finish_run", freeze_and_let_another_worker_take_it)
    train(candidate)
    assert (candidate.status, candidate.attempt, candidate.metrics) == ("running", 2, {})
    assert candidate.lease_until is not None  # the successor's, untouched
    assert not ModelVersion.objects.exists()
    expire(candidate)
    train(candidate)
    assert (candidate.status, ModelVersion.objects.count()) == ("succeeded", 1)


def test_a_zombie_of_a_check_does_not_end_its_successors_work(shop, analyst, monkeypatch):
    version = make_version(analyst, shop)
    start_check(analyst, version)

    def freeze_and_let_another_worker_take_it():
        expire(version)
        assert claim(DatasetVersion, version.pk, statuses=("checking",)) is not None

    before(monkeypatch, checking, "transition", freeze_and_let_another_worker_take_it)
    check_version(version.pk)
    version.refresh_from_db()
    assert (version.status, version.attempt, version.interactions_digest) == ("checking", 2, "")
    assert version.lease_until is not None


def test_a_task_may_come_twice(analyst, version):
    _, candidate = start_runs(analyst, version)
    train(candidate, candidate)
    assert (candidate.attempt, ModelVersion.objects.count()) == (1, 1)
    check_version(version.pk)
    version.refresh_from_db()
    assert version.attempt == 1


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_whoever_finishes_last_writes_the_verdict(analyst, version, order):
    runs = start_runs(analyst, version, "item_knn", "popularity")
    train(*(runs[at] for at in order))
    for run in runs:
        run.refresh_from_db()
    baseline, knn, popularity = runs
    assert baseline.verdicts == {}
    assert knn.verdicts["popularity"]["verdict"] == "better"
    assert knn.verdicts["popularity"]["run"] == baseline.pk
    assert "beats Popularity" in knn.verdicts["popularity"]["sentence"]
    own = popularity.verdicts["popularity"]
    assert (own["verdict"], own["is_itself"], knn.verdicts["popularity"]["is_itself"]) == (
        "no difference",
        True,
        False,
    )
    assert own["sentence"].startswith("Popularity with these settings is the baseline itself")


@pytest.mark.django_db(transaction=True)
def test_runs_that_finish_at_the_same_moment_miss_no_verdict_and_share_no_number(shop, analyst, monkeypatch):
    version = make_version(analyst, shop, checked=True)
    runs = start_runs(analyst, version, "item_knn", "popularity")
    together, real = Barrier(len(runs)), finishing.finish_run

    def wait_for_the_others(*args):
        together.wait(timeout=30)
        return real(*args)

    monkeypatch.setattr(fitting, "finish_run", wait_for_the_others)
    at_once(len(runs), lambda at: run_training(runs[at].pk))
    for run in runs:
        run.refresh_from_db()
    assert [run.status for run in runs] == ["succeeded"] * 3
    assert all(run.verdicts["popularity"]["run"] == runs[0].pk for run in runs[1:])
    assert sorted(ModelVersion.objects.values_list("number", flat=True)) == [1, 2]


def test_the_live_versions_recipe_is_fitted_anew_and_compared_with(shop, analyst, version):
    first = start_runs(analyst, version, "popularity")
    train(*first)
    live = first[1].model_version
    newer = make_version(analyst, shop, ratings_csv(seed=9), checked=True)
    runs = start_runs(analyst, newer, "item_knn", champion=live)
    assert [run.role for run in runs] == ["baseline", "champion", "candidate"]
    train(*runs)
    candidate = runs[2]
    assert candidate.verdicts["live"]["verdict"] == "better"
    assert candidate.verdicts["live"]["model_version"] == live.pk
    assert "the live version (shop-main 1" in candidate.verdicts["live"]["sentence"]
    assert ModelVersion.objects.count() == 2
    assert runs[1].config == first[1].config


def test_a_run_tells_where_it_is(analyst, version):
    _, candidate = start_runs(analyst, version, "als")
    train(candidate)
    assert candidate.stage == "register"
    assert len(candidate.curve) == 3
    assert candidate.curve[0][1] > candidate.curve[-1][1]
    assert candidate.peak_memory_bytes > 10_000_000
    assert candidate.fit_s > 0
    assert candidate.split_note.startswith("Each shopper's last 5 choices are held out, because")
