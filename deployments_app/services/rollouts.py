"""What people do with a rollout under way: pause, resume, next step, promote now, conclude, abort."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from deployments_app.models import Deployment, Rollout, Workload
from deployments_app.selectors import allowed_actions
from deployments_app.services.locks import lock_deployment, lock_rollout
from deployments_app.services.outcomes import finish, give_up, move_to_step, say
from deployments_app.services.verdicts import record_verdict
from portal.core.actors import Actor
from portal.core.clock import database_now
from portal.core.dispatch import enqueue_on_commit
from portal.core.errors import Conflict, InvalidInput, InvalidTransition
from portal.core.events import record
from portal.core.jobs import wake_fields
from portal.core.models import Shop
from portal.core.permissions import authorize
from portal.core.transitions import check_lock_version, transition

__all__ = [
    "abort_rollout",
    "conclude_rollout",
    "explain_rollout",
    "pause_rollout",
    "promote_now",
    "record_verdict",
    "resume_rollout",
    "step_now",
]

NOTE_MAX = 4000


def pause_rollout(
    actor: Actor, shop: Shop, rollout: Rollout, lock_version: int | None = None, reason: str = ""
) -> Rollout:
    """Hold a rollout where it is; shares stay as they are."""
    with _held(actor, shop, rollout, lock_version, "pause") as (_, held):
        why = reason.strip() or f"paused by {actor.label} at {held.weight_pct} %"
        transition(
            held,
            "paused",
            actor=actor,
            shop=shop,
            reason=why[:300],
            verb="rollout.paused",
            paused_at=database_now(),
        )
        say(held, why)
    return held


def resume_rollout(actor: Actor, shop: Shop, rollout: Rollout, lock_version: int | None = None) -> Rollout:
    """Go on with a paused rollout.

    After a person's pause the step's clock goes on from where it stood; after one of Aisle's own (it waited
    too long, or the checks did not agree) the step begins again.
    """
    with _held(actor, shop, rollout, lock_version, "resume") as (_, held):
        now = database_now()
        started = held.step_started_at
        if held.paused_at is not None and started is not None:
            started += now - held.paused_at
        else:
            started = now
        why = f"resumed by {actor.label} at {held.weight_pct} %"
        transition(
            held,
            "progressing",
            actor=actor,
            shop=shop,
            reason=why[:300],
            verb="rollout.resumed",
            paused_at=None,
            step_started_at=started,
        )
        say(held, why)
    return held


def step_now(actor: Actor, shop: Shop, rollout: Rollout, lock_version: int | None = None) -> Rollout:
    """Take the next step at once, without waiting for time, answers or verdict."""
    with _held(actor, shop, rollout, lock_version, "step") as (deployment, held):
        _check_ready(held)
        if held.step + 1 < len(held.plan["steps"]):
            move_to_step(actor, deployment, held, held.step + 1, because=f"{actor.label} took the next step")
        else:
            finish(actor, deployment, held, because=f"{actor.label} took the last step")
    return held


def promote_now(actor: Actor, shop: Shop, rollout: Rollout, lock_version: int | None = None) -> Rollout:
    """Give everybody the new release at once and end the rollout."""
    with _held(actor, shop, rollout, lock_version, "promote") as (deployment, held):
        _check_ready(held)
        number = held.release.number
        finish(actor, deployment, held, because=f"{actor.label} promoted release {number} to everybody")
    return held


def abort_rollout(
    actor: Actor, shop: Shop, rollout: Rollout, lock_version: int | None = None, reason: str = ""
) -> Rollout:
    """End a rollout; everybody gets the stable release again, in the same transaction."""
    with _held(actor, shop, rollout, lock_version, "abort") as (deployment, held):
        why = reason.strip() or f"aborted by {actor.label}"
        give_up(actor, deployment, held, to="aborted", reason=why)
    return held


def conclude_rollout(
    actor: Actor, shop: Shop, rollout: Rollout, keep: str, lock_version: int | None = None, reason: str = ""
) -> Rollout:
    """End an A/B test by saying which arm stays. keep: new or live."""
    if keep not in ("new", "live"):
        raise InvalidInput(f"Say which release stays: new or live, not {keep[:40]!r}.", code="invalid_keep")
    with _held(actor, shop, rollout, lock_version, "conclude") as (deployment, held):
        stays = held.release if keep == "new" else held.from_release
        assert stays is not None  # a placement's first release has nothing to be tested against
        why = f"{actor.label} concluded the test: release {stays.number} stays" + (
            f" ({reason.strip()})" if reason.strip() else ""
        )
        if keep == "new":
            _check_ready(held)
            finish(actor, deployment, held, because=why, verb="rollout.concluded")
        else:
            give_up(actor, deployment, held, to="aborted", reason=why, verb="rollout.concluded")
    return held


def explain_rollout(actor: Actor, shop: Shop, rollout: Rollout, note: str) -> Rollout:
    """Write afterwards why it was done; e.g. why somebody rolled back."""
    authorize(actor, "rollouts.operate", shop)
    with transaction.atomic():
        held = lock_rollout(lock_deployment(shop, rollout.deployment_id), rollout.pk)
        held.note = note.strip()[:NOTE_MAX]
        held.save(update_fields=["note"])
        record("rollout.explained", held, actor=actor, shop=shop, reason=held.note)
    return held


@contextmanager
def _held(
    actor: Actor, shop: Shop, rollout: Rollout, lock_version: int | None, action: str
) -> Iterator[tuple[Deployment, Rollout]]:
    """Hold deployment and rollout, and refuse what does not fit the present state."""
    authorize(actor, "rollouts.operate", shop)
    with transaction.atomic():
        deployment = lock_deployment(shop, rollout.deployment_id)
        held = lock_rollout(deployment, rollout.pk)
        allowed = allowed_actions(held)
        if action not in allowed:
            can = (
                f" What can be done: {', '.join(allowed)}." if allowed else " Nothing more can be done to it."
            )
            raise InvalidTransition(
                f"{held} is {held.status}, so you cannot {action} it.{can}",
                current=held.status,
                allowed=list(allowed),
            )
        check_lock_version(held, lock_version)
        yield deployment, held
        if held.status not in ("succeeded", "failed", "aborted"):
            Rollout.objects.filter(pk=held.pk).update(**wake_fields())
            enqueue_on_commit(held)


def _check_ready(rollout: Rollout) -> None:
    servers = Workload.objects.filter(release_id=rollout.release_id).first()
    if servers is None or not servers.is_ready:
        why = servers.reason if servers is not None else "they are not loaded"
        raise Conflict(
            f"The servers of release {rollout.release.number} are not ready: {why}. "
            "More shoppers cannot be sent there yet.",
            code="not_ready",
            current=rollout.status,
        )
