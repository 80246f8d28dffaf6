"""Every edge of the statuses exists, every other one is refused, and the services only walk edges."""

import pytest

from deployments_app.models import Promotion, Rollout
from deployments_app.selectors import allowed_actions
from deployments_app.services import rollouts
from portal.core.actors import system
from portal.core.errors import InvalidTransition, StaleState
from portal.core.models import Event
from portal.core.transitions import transition

pytestmark = pytest.mark.django_db


CASES = [(model, status) for model in (Promotion, Rollout) for status in model.STATUSES]


def at_status(world, model, status):
    row = world.request() if model is Promotion else world.start()
    return put_at(row, status)


def put_at(row, status):
    type(row).objects.filter(pk=row.pk).update(status=status)
    row.refresh_from_db()
    return row


@pytest.mark.parametrize("model", [Promotion, Rollout])
def test_every_status_has_its_edges_written_down(model):
    assert set(model.TRANSITIONS) == set(model.STATUSES)
    assert set().union(*model.TRANSITIONS.values()) <= set(model.STATUSES)


@pytest.mark.parametrize(("model", "status"), CASES)
def test_every_edge_can_be_walked_once_and_nothing_else(world, model, status):
    row = at_status(world, model, status)
    for end in model.STATUSES:
        put_at(row, status)
        before = Event.objects.count()
        if end in model.TRANSITIONS[status]:
            seen_before = model.objects.get(pk=row.pk)
            transition(row, end, actor=system("test"), shop=world.shop)
            assert model.objects.get(pk=row.pk).status == end
            assert Event.objects.filter(object_id=row.pk, from_status=status, to_status=end).count() == 1
            with pytest.raises(StaleState):
                transition(seen_before, end, actor=system("test"), shop=world.shop)
        else:
            with pytest.raises(InvalidTransition) as refusal:
                transition(row, end, actor=system("test"), shop=world.shop)
            assert refusal.value.extra["current"] == status
            assert Event.objects.count() == before


ACTS = {
    "pause": rollouts.pause_rollout,
    "resume": rollouts.resume_rollout,
    "step": rollouts.step_now,
    "promote": rollouts.promote_now,
    "abort": rollouts.abort_rollout,
}


@pytest.mark.parametrize("status", Rollout.STATUSES)
def test_a_refused_action_names_the_state_and_what_can_be_done(world, status):
    world.make_live()
    rollout = at_status(world, Rollout, status)
    allowed = allowed_actions(rollout)
    for act in ACTS.keys() - set(allowed):
        with pytest.raises(InvalidTransition) as refusal:
            ACTS[act](world.operator, world.shop, rollout)
        assert refusal.value.status == 409
        assert refusal.value.extra == {"current": status, "allowed": list(allowed)}
        assert f"is {status}" in refusal.value.detail
