"""The life of a placement, as a test that every backend passes: strategies, ways back, and faults between.

Subclass `RolloutContract` and provide the fixture `placement`: a World whose environment names a backend
with real servers. Verdicts are handed over as the measuring stage does; everything else is real.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from django.utils import timezone

from deployments_app.backends.base import DeploymentBackend
from deployments_app.gateway_report import WatchReport
from deployments_app.models import Deployment, Gateway, Rollout
from deployments_app.plan_rules import AT_ONCE, Servers
from deployments_app.plan_templates import TEMPLATES
from deployments_app.services import rollouts
from deployments_app.services.gateways import record_gateway_measure
from deployments_app.services.rollbacks import roll_back
from deployments_app.tests.factories import World, pass_step, verbs
from deployments_app.tests.worker_deaths import KILL_AFTER, Killed, dying_after, expire_lease

SAMPLE_EVERY_S = 0.1
CAREFUL = TEMPLATES["careful"].plan
STEP_BY_STEP = replace(CAREFUL, steps=tuple(replace(step, hold_s=0) for step in CAREFUL.steps))


class Capacity:
    """Samples how many servers of the stable release are ready, all along."""

    def __init__(self, backend: DeploymentBackend) -> None:
        self.backend = backend
        self.stable: tuple[str, int] | None = None
        self.samples = 0
        self.lowest: int | None = None
        self.too_few: list[str] = []
        self._over = threading.Event()

    def watch(self, release: str, replicas: int = 1) -> None:
        """Say which release is stable from now on, and how many servers it is to have."""
        self.stable = release, replicas

    def run(self) -> None:
        while not self._over.wait(SAMPLE_EVERY_S):
            watched = self.stable
            if watched is None:
                continue
            release, wanted = watched
            ready = self.backend.observe(release).ready
            if watched == self.stable:
                self.samples += 1
                self.lowest = ready if self.lowest is None else min(self.lowest, ready)
                if ready < wanted:
                    self.too_few.append(f"{ready} of {wanted} ready of {release} at sample {self.samples}")

    def was_kept(self) -> None:
        """Fail unless stable had all its servers at every sample."""
        print(f"{self.samples} samples, never fewer than {self.lowest} ready servers of stable")
        assert self.samples > 10
        assert self.too_few == []

    @contextmanager
    def sampled(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(timeout=15)


def served_share(world: World, rollout: Rollout) -> int:
    """Read from the routes which percentage of shoppers the rollout's release answers."""
    world.deployment.refresh_from_db()
    if world.deployment.stable_id == rollout.release_id:
        return 100
    return world.deployment.canary_weight_pct if world.deployment.canary_id == rollout.release_id else 0


class RolloutContract:
    """What must hold of rollouts whatever the backend."""

    WITHIN_S: ClassVar[float] = 40  # of one stretch: servers have to start

    @pytest.fixture
    def capacity(self, backend: DeploymentBackend) -> Iterator[Capacity]:
        made = Capacity(backend)
        with made.sampled():
            yield made

    def until(
        self,
        world: World,
        rollout: Rollout,
        holds: Callable[[Rollout], bool],
        turn: Callable[[Rollout], object] | None = None,
    ) -> Rollout:
        """Turn the loops until the rollout is as wanted; `turn` in place of a worker's undisturbed one."""
        deadline = time.monotonic() + self.WITHIN_S
        while True:
            (turn or world.advance)(rollout)
            if holds(rollout):
                return rollout
            assert time.monotonic() < deadline, f"{rollout.status}: {rollout.reason}"
            time.sleep(0.05)

    def at_weight(self, world: World, rollout: Rollout, weight_pct: int) -> Rollout:
        return self.until(
            world, rollout, lambda row: row.weight_pct == weight_pct and row.status != "pending"
        )

    def go_on(self, world: World, rollout: Rollout) -> Rollout:
        """Pass every step to the end."""

        def ended(row: Rollout) -> bool:
            if row.status == "progressing":
                pass_step(row)
            return row.status not in ("pending", "progressing", "paused")

        return self.until(world, rollout, ended)

    def confirmed(self, world: World, rollout: Rollout) -> Rollout:
        """Let a gateway say that it runs a rollback's routes."""
        Gateway.objects.update_or_create(agent_id="gw-1", defaults={"reported_at": timezone.now()})
        record_gateway_measure(rollout.pk, "gw-1", WatchReport(rollout.pk, 41.0, 58.5, 30, 0))
        return self.until(world, rollout, lambda row: row.status == "succeeded")

    def test_a_placement_lives_through_every_strategy_and_every_way_back(
        self, placement: World, backend: DeploymentBackend, capacity: Capacity
    ) -> None:
        world, operator, shop = placement, placement.operator, placement.shop

        def routes() -> tuple[Any, ...]:
            row = Deployment.objects.select_related("stable", "canary").get(pk=world.deployment.pk)
            world.deployment = row
            canary = row.canary.number if row.canary else None
            return (row.stable.number if row.stable else None, canary, row.canary_weight_pct)

        def begin(template: str, replicas: int = 1, **version: Any) -> Rollout:
            plan = replace(TEMPLATES[template].plan, servers=Servers(replicas=replicas))
            return world.start(world.version("popularity", **version), plan=plan.to_json())

        first = self.go_on(world, begin("at_once", replicas=2))
        assert (first.status, routes()) == ("succeeded", (1, None, 0))
        capacity.watch(first.release_id, 2)

        canary = self.at_weight(world, begin("careful"), 5)
        assert routes() == (1, 2, 5)
        rollouts.pause_rollout(operator, shop, canary)
        pass_step(canary)
        world.advance(canary, 2)
        assert (canary.status, routes()) == ("paused", (1, 2, 5))
        rollouts.resume_rollout(operator, shop, canary)
        rollouts.step_now(operator, shop, canary)
        assert routes() == (1, 2, 25)
        back = roll_back(operator, shop, world.deployment)  # mid-way
        assert (routes(), self.confirmed(world, back).status) == ((1, None, 0), "succeeded")

        green = self.at_weight(world, begin("blue_green", replicas=2), 0)
        assert routes() == (1, 3, 0)
        rollouts.promote_now(operator, shop, green)
        assert routes() == (3, None, 0)
        capacity.watch(green.release_id, 2)
        back = roll_back(operator, shop, world.deployment)  # after 100 %
        assert routes() == (1, None, 0)
        capacity.watch(first.release_id, 2)
        self.confirmed(world, back)

        shadow = self.at_weight(world, begin("shadow_first"), 0)
        mirrored = Deployment.objects.values_list("canary_mirror_pct", flat=True)
        assert (routes(), mirrored.get(pk=world.deployment.pk)) == ((1, 4, 0), 25)
        rollouts.abort_rollout(operator, shop, shadow)
        assert (routes(), mirrored.get(pk=world.deployment.pk)) == ((1, None, 0), 0)

        tested = self.at_weight(world, begin("ab"), 50)
        pass_step(tested)
        world.advance(tested, 3)  # whatever the checks say, it is open until a person concludes it
        assert (tested.status, routes()) == ("progressing", (1, 5, 50))
        rollouts.conclude_rollout(operator, shop, tested, "new")
        assert routes() == (5, None, 0)
        capacity.watch(tested.release_id)
        back = roll_back(operator, shop, world.deployment)
        assert routes() == (1, None, 0)
        capacity.watch(first.release_id, 2)
        self.confirmed(world, back)

        never = self.never_ready(world, begin)
        assert (never.status, routes()) == ("failed", (1, None, 0))
        assert "never ready" in never.reason

        last = self.at_weight(world, begin("careful"), 5)
        pass_step(last, "fail", "too many errors")
        self.until(world, last, lambda row: row.status == "failed")
        assert routes() == (1, None, 0)
        capacity.was_kept()

    def test_a_worker_killed_after_each_step_loses_nothing(
        self, placement: World, capacity: Capacity
    ) -> None:
        """At every step a worker dies once after each line that it comes to; the next worker goes on."""
        world = placement
        two = replace(AT_ONCE, servers=Servers(replicas=2))
        first = self.go_on(world, world.start(world.version("popularity"), plan=two.to_json()))
        capacity.watch(first.release_id, 2)
        rollout = world.start(world.version("popularity"), plan=STEP_BY_STEP.to_json())
        deaths: set[tuple[str, int, str]] = set()
        shares: list[int] = []

        def advance_or_die(row: Rollout) -> None:
            if row.status == "progressing":
                pass_step(row)
            at = row.status, row.step
            try:
                with dying_after(*(line for line in KILL_AFTER if (*at, line) not in deaths)):
                    world.advance(row)
            except Killed as death:
                deaths.add((*at, death.line))
            expire_lease(row)
            row.refresh_from_db()
            assert served_share(world, row) == row.weight_pct  # both were written, or neither
            if row.weight_pct not in shares:
                shares.append(row.weight_pct)

        self.until(world, rollout, lambda row: row.status == "succeeded", turn=advance_or_die)
        assert {line for _, _, line in deaths} == set(KILL_AFTER)
        assert shares == [0, 5, 25, 50, 100]
        told = [verb for verb in verbs(rollout) if verb != "rollout.noted"]
        assert told[1:] == ["rollout.progressing", *["rollout.step_advanced"] * 3, "rollout.succeeded"]
        assert verbs(rollout.promotion).count("promotion.applied") == 1
        assert world.deployment.last_good_id == first.release_id
        print(f"{len(deaths)} deaths")
        capacity.was_kept()

    def never_ready(self, world: World, begin: Callable[..., Rollout]) -> Rollout:
        """Roll out a version whose servers never get ready, and wait for the end."""
        raise NotImplementedError
