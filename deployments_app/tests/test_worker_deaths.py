"""Workers and web processes that die on every way: mirrored, up the steps, back, stopped, paused, unseen.

At every state of a rollout a worker dies once after each line that it comes to, and the next one goes on.
What comes out, routes and events, is what one undisturbed worker leaves.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from django.utils import timezone

from deployments_app.gateway_report import WatchReport
from deployments_app.models import Deployment, Gateway, Rollout, Workload
from deployments_app.plan_templates import TEMPLATES
from deployments_app.services.gateways import record_gateway_measure
from deployments_app.services.rollbacks import roll_back
from deployments_app.services.rollouts import (
    abort_rollout,
    pause_rollout,
    promote_now,
    resume_rollout,
    step_now,
)
from deployments_app.tests.factories import World, pass_step, verbs
from deployments_app.tests.worker_deaths import KILL_AFTER, Killed, dying_after, expire_lease
from portal.core.models import Event

pytestmark = pytest.mark.django_db

SERVICES = "deployments_app.services."
LINES = (
    *KILL_AFTER,
    SERVICES + "advance.switch_at_once",
    SERVICES + "advance.give_up",
    SERVICES + "advance.transition",
    SERVICES + "advance.say",
    SERVICES + "outcomes.take_back",
    SERVICES + "outcomes.say",
    SERVICES + "traffic.make_stable",
    SERVICES + "traffic.wake_deployment",
)
EVERY_TURN = {
    "advance.claim",
    "advance.look_after",
    "advance.plan_next",
    "advance.lock_rollout",
    "advance._act",
}
SHADOW = TEMPLATES["shadow_first"].plan
SHADOW_AT_ONCE = replace(SHADOW, steps=tuple(replace(step, hold_s=0) for step in SHADOW.steps)).to_json()


def routes(world: World) -> tuple[int | None, int | None, int, int]:
    """Read the routes: stable, canary, its share, and the share of requests that are copied to it."""
    row = Deployment.objects.select_related("stable", "canary").get(pk=world.deployment.pk)
    stable, canary = (each.number if each is not None else None for each in (row.stable, row.canary))
    return stable, canary, row.canary_weight_pct, row.canary_mirror_pct


def events_of(rollout: Rollout) -> list[str]:
    """Name what happened to a rollout, without what was only said."""
    return [verb.removeprefix("rollout.") for verb in verbs(rollout) if verb != "rollout.noted"]


def die_on_the_way(
    world: World,
    rollout: Rollout,
    until: Callable[[Rollout], bool],
    before_each: Callable[[Rollout], object] = lambda row: None,
) -> set[str]:
    """Turn the loop with workers that die until the rollout is as wanted; names the lines they died after."""
    deaths: set[tuple[str, int, str]] = set()
    for _ in range(150):
        rollout.refresh_from_db()
        before_each(rollout)
        if until(rollout):
            return {line.removeprefix(SERVICES) for _, _, line in deaths}
        at = rollout.status, rollout.step
        try:
            with dying_after(*(line for line in LINES if (*at, line) not in deaths)):
                world.advance(rollout)
        except Killed as death:
            deaths.add((*at, death.line))
        expire_lease(rollout)
    raise AssertionError(f"{rollout.status}: {rollout.reason}; deaths: {deaths}")


def is_now(status: str) -> Callable[[Rollout], bool]:
    return lambda row: row.status == status


def for_turns(number: int) -> Callable[[Rollout], bool]:
    turns = count(1)
    return lambda row: next(turns) > number


def let_a_gateway_tell(rollout: Rollout) -> None:
    Gateway.objects.update_or_create(agent_id="gw-1", defaults={"reported_at": timezone.now()})
    record_gateway_measure(rollout.pk, "gw-1", WatchReport(rollout.pk, 41.0, 58.5, 30, 0))


def test_a_warm_rollback(world):
    world.make_live()
    world.make_live()
    back = roll_back(world.operator, world.shop, world.deployment)
    let_a_gateway_tell(back)

    def is_everybodys(row: Rollout) -> None:
        assert routes(world) == (1, None, 0, 0)  # since the click, whoever died

    deaths = die_on_the_way(world, back, is_now("succeeded"), is_everybodys)
    assert deaths >= {*EVERY_TURN, "outcomes.transition", "outcomes.say"}
    assert events_of(back) == ["rolled_back", "succeeded"]
    assert Deployment.objects.get().last_good.number == 2


def test_a_cold_rollback_switches_everybody_with_its_salt_or_not_at_all(world, told):
    first = world.make_live()
    world.make_live()
    world.make_live()
    Workload.objects.filter(release=first).delete()
    told.exist.pop(first.pk)
    back = roll_back(world.operator, world.shop, world.deployment, to_release=first.pk)
    let_a_gateway_tell(back)

    def is_whole(row: Rollout) -> None:
        switched = row.status != "pending"
        assert routes(world) == (1 if switched else 3, None, 0, 0)
        assert (Deployment.objects.get().salt == row.salt) is switched

    deaths = die_on_the_way(world, back, is_now("succeeded"), is_whole)
    assert deaths >= {*EVERY_TURN, "traffic.make_stable", "advance.switch_at_once", "advance.transition"}
    assert events_of(back) == ["rolled_back", "progressing", "succeeded"]
    assert Deployment.objects.get().last_good.number == 3


def test_a_failing_verdict(world):
    world.make_live()
    rollout = world.advance(world.start())

    def fails(row: Rollout) -> None:
        assert routes(world) == ((1, 2, 10, 0) if row.status == "progressing" else (1, None, 0, 0))
        if row.status == "progressing":
            pass_step(row, "fail", "too many errors")

    deaths = die_on_the_way(world, rollout, is_now("failed"), fails)
    assert deaths >= {*EVERY_TURN, "outcomes.take_back", "outcomes.transition", "advance.give_up"}
    assert events_of(rollout) == ["started", "progressing", "failed"]
    assert "too many errors" in rollout.error["detail"]


def test_a_pause_and_what_comes_after_it(world):
    world.make_live()
    rollout = world.advance(world.start())

    def disagrees(row: Rollout) -> None:
        assert routes(world) == (1, 2, 10, 0)
        pass_step(row, "inconclusive", "p95 jumps about")

    deaths = die_on_the_way(world, rollout, is_now("paused"), disagrees)
    assert deaths >= {*EVERY_TURN, "advance.transition", "advance.say"}
    assert die_on_the_way(world, rollout, for_turns(20), disagrees) >= {*EVERY_TURN, "advance.release"}
    assert events_of(rollout) == ["started", "progressing", "paused"]
    resume_rollout(world.operator, world.shop, rollout)
    die_on_the_way(world, rollout, is_now("succeeded"), lambda row: row.finished_at or pass_step(row))
    assert routes(world) == (2, None, 0, 0)
    ramp = ["resumed", "step_advanced", "step_advanced", "succeeded"]
    assert events_of(rollout) == ["started", "progressing", "paused", *ramp]


def test_blue_green_waits_unseen_until_a_person_promotes_it(world):
    world.make_live()
    rollout = world.start(plan=TEMPLATES["blue_green"].plan.to_json())
    deaths = die_on_the_way(world, rollout, for_turns(50))
    assert deaths >= {*EVERY_TURN, "outcomes.give_canary", "outcomes.transition"}
    assert (rollout.status, routes(world)) == ("progressing", (1, 2, 0, 0))
    promote_now(world.operator, world.shop, rollout)
    assert routes(world) == (2, None, 0, 0)
    assert events_of(rollout) == ["started", "progressing", "succeeded"]


def test_a_shadow_and_the_ramp_after_it(world):
    world.make_live()
    rollout = world.start(plan=SHADOW_AT_ONCE)
    steps = [(1, 2, 0, 25), (1, 2, 10, 0), (1, 2, 50, 0), (1, 2, 100, 0)]
    ways = {"pending": [(1, None, 0, 0)], "progressing": steps, "succeeded": [(2, None, 0, 0)] * 4}

    def passes(row: Rollout) -> None:
        assert routes(world) == ways[row.status][row.step]
        if row.status == "progressing":
            pass_step(row)

    deaths = die_on_the_way(world, rollout, is_now("succeeded"), passes)
    assert deaths >= {line.removeprefix(SERVICES) for line in KILL_AFTER} - {"advance.release"}
    assert events_of(rollout) == ["started", "progressing", *["step_advanced"] * 3, "succeeded"]
    assert Event.objects.filter(object_id=rollout.promotion_id, verb="promotion.applied").count() == 1


CLICKS = {
    "promote": (promote_now, ("rollouts.finish", "outcomes.make_stable", "outcomes._apply_request")),
    "step": (step_now, ("rollouts.move_to_step", "outcomes.give_canary", "outcomes.record")),
    "pause": (pause_rollout, ("rollouts.transition", "rollouts.say", "rollouts.enqueue_on_commit")),
    "abort": (abort_rollout, ("rollouts.give_up", "outcomes.take_back", "outcomes.transition")),
    "back": (
        lambda actor, shop, rollout: roll_back(actor, shop, rollout.deployment),
        ("rollbacks.give_up", "rollbacks.switch_at_once", "rollbacks.record", "rollbacks.enqueue_on_commit"),
    ),
}
BECOMES = {
    "promote": (2, None, 0, 0),
    "step": (1, 2, 50, 0),
    "pause": (1, 2, 10, 0),
    "abort": (1, None, 0, 0),
    "back": (1, None, 0, 0),
}


@pytest.mark.parametrize("name", CLICKS)
def test_a_click_whose_web_process_dies_changes_nothing_and_can_be_pressed_again(world, name):
    click, lines = CLICKS[name]
    world.make_live()
    rollout = world.advance(world.start())

    def everything() -> tuple[Any, ...]:
        rows = [Deployment.objects.values(), Rollout.objects.order_by("pk").values()]
        return (*(list(each) for each in rows), Event.objects.count())

    before = everything()
    for line in lines:
        with pytest.raises(Killed, match=line), dying_after(SERVICES + line):
            click(world.operator, world.shop, rollout)
        assert everything() == before, line
    click(world.operator, world.shop, rollout)
    assert routes(world) == BECOMES[name]
    assert everything() != before
