"""transition(): one winner, one event, and nothing by a worker that lost its lease."""

import pytest
from django.utils import timezone

from models_app.models import Dataset, DatasetVersion, RegisteredModel, TrainingRun
from portal.core.actors import system
from portal.core.errors import InvalidTransition, StaleState
from portal.core.models import Event
from portal.core.testing import at_once, make_actor, make_shop
from portal.core.transitions import check_lock_version, transition

EDGES = [(TrainingRun, a, b) for a in TrainingRun.STATUSES for b in TrainingRun.STATUSES]


def make_run(status: str = "queued") -> TrainingRun:
    shop = make_shop()
    dataset = Dataset.objects.create(shop=shop, name="ratings")
    version = DatasetVersion.objects.create(shop=shop, dataset=dataset, number=1, status="ready")
    model = RegisteredModel.objects.create(shop=shop, name="main")
    return TrainingRun.objects.create(
        shop=shop, group="g", dataset_version=version, registered_model=model, algorithm="als", status=status
    )


@pytest.mark.django_db
def test_a_transition_writes_the_row_and_one_event():
    run = make_run()
    actor = make_actor(run.shop, "analyst", "Ana")
    transition(run, "running", actor=actor, shop=run.shop, reason="claimed", started_at=timezone.now())
    fresh = TrainingRun.objects.get(pk=run.pk)
    assert (fresh.status, fresh.lock_version) == ("running", 1)
    assert fresh.started_at is not None
    event = Event.objects.get(object_id=run.pk)
    assert (event.from_status, event.to_status, event.reason) == ("queued", "running", "claimed")
    assert event.actor_label == "Ana"


@pytest.mark.django_db
@pytest.mark.parametrize(("model", "start", "end"), EDGES)
def test_every_edge_of_a_run_is_either_declared_or_refused(model, start, end):
    run = make_run(start)
    if end in model.TRANSITIONS[start]:
        transition(run, end, actor=system("test"), shop=run.shop)
        assert TrainingRun.objects.get(pk=run.pk).status == end
    else:
        with pytest.raises(InvalidTransition):
            transition(run, end, actor=system("test"), shop=run.shop)
        assert TrainingRun.objects.get(pk=run.pk).status == start
        assert not Event.objects.filter(object_id=run.pk).exists()


@pytest.mark.django_db
def test_a_stale_copy_changes_nothing_even_when_the_status_came_back():
    run = make_run()
    stale = TrainingRun.objects.get(pk=run.pk)
    TrainingRun.objects.filter(pk=run.pk).update(lock_version=2)
    with pytest.raises(StaleState):
        transition(stale, "running", actor=system("test"), shop=run.shop)
    assert TrainingRun.objects.get(pk=run.pk).status == "queued"
    with pytest.raises(StaleState):
        check_lock_version(run, 7)


@pytest.mark.django_db
def test_a_worker_that_lost_its_lease_cannot_finish():
    run = make_run("running")
    with pytest.raises(StaleState):
        transition(run, "succeeded", actor=system("worker"), shop=run.shop, attempt=run.attempt + 1)
    assert TrainingRun.objects.get(pk=run.pk).status == "running"


@pytest.mark.django_db(transaction=True)
def test_of_24_transitions_at_once_one_wins_and_writes_one_event():
    run = make_run()

    def click(_):
        transition(TrainingRun.objects.get(pk=run.pk), "running", actor=system("test"), shop=run.shop)

    results = at_once(24, click)
    refused = [result for result in results if isinstance(result, (StaleState, InvalidTransition))]
    assert len(refused) == 23
    assert results.count(None) == 1
    assert Event.objects.filter(object_id=run.pk).count() == 1
