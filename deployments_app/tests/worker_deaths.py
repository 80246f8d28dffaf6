"""Workers that die: after any line of the rollout loop, with neither except nor clean-up behind it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module

import pytest
from django.utils import timezone

from deployments_app.models import Rollout

KILL_AFTER = (
    "deployments_app.services.advance.claim",
    "deployments_app.services.advance.look_after",
    "deployments_app.services.workloads.note_status",
    "deployments_app.services.advance.plan_next",
    "deployments_app.services.advance.lock_deployment",
    "deployments_app.services.advance.lock_rollout",
    "deployments_app.services.outcomes.give_canary",
    "deployments_app.services.outcomes.make_stable",
    "deployments_app.services.outcomes._apply_request",
    "deployments_app.services.outcomes.transition",
    "deployments_app.services.outcomes.record",
    "deployments_app.services.advance._act",
    "deployments_app.services.advance.release",
)


class Killed(BaseException):
    """The worker was killed after this line: nothing runs after it, no except, no clean-up."""

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.line = line


@contextmanager
def dying_after(*lines: str) -> Iterator[None]:
    """Let whoever calls one of these functions die as soon as it has returned."""
    with pytest.MonkeyPatch.context() as patch:
        for line in lines:
            patch.setattr(line, _then_die(line))
        yield


def _then_die(line: str) -> Callable[..., None]:
    module, _, name = line.rpartition(".")
    original = getattr(import_module(module), name)

    def call_and_die(*args: object, **options: object) -> None:
        original(*args, **options)
        raise Killed(line)

    return call_and_die


def expire_lease(rollout: Rollout) -> None:
    """Let the time pass after which a dead worker's rollout is taken over."""
    held = Rollout.objects.filter(pk=rollout.pk, lease_until__isnull=False)
    held.update(lease_until=timezone.now() - timedelta(seconds=1))
