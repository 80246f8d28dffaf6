"""What workers run: known by name, one service a task, nothing to do for rows that moved on."""

import pytest

from deployments_app import tasks
from deployments_app.models import Deployment, Rollout
from portal.core.dispatch import DISPATCHED


def test_rows_and_workers_agree_on_the_names_of_tasks():
    assert tasks.advance_rollout.name == Rollout.TASK
    assert tasks.reconcile_deployment.name == Deployment.TASK
    assert {Rollout, Deployment} <= set(DISPATCHED)
    assert Rollout.QUEUE == Deployment.QUEUE == "deploy"  # a long training never delays a rollback


@pytest.mark.django_db
def test_a_task_for_a_row_that_is_gone_or_done_does_nothing(world, told):
    tasks.advance_rollout("rol_unknown")
    tasks.reconcile_deployment("dep_unknown")
    world.make_live()
    told.calls.clear()
    tasks.advance_rollout(Rollout.objects.get().pk)
    assert told.calls == []


@pytest.mark.django_db
def test_a_task_takes_one_step(world):
    rollout = world.start()
    tasks.advance_rollout(rollout.pk)
    rollout.refresh_from_db()
    assert rollout.status == "progressing"
    tasks.reconcile_deployment(world.deployment.pk)
    assert Deployment.objects.get().due_at is not None
