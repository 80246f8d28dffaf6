"""What a rollout's acts mean for its row, its request and the routes. Callers hold deployment and rollout."""

from typing import Any

from django.db.models import F

from deployments_app.models import Deployment, Promotion, Rollout, Workload
from deployments_app.plan_rules import read_plan
from deployments_app.services.starts import start_next_approved
from deployments_app.services.traffic import give_canary, make_stable, take_back
from portal.core.actors import Actor, system
from portal.core.clock import database_now
from portal.core.events import record
from portal.core.transitions import transition

REASON_MAX = 300


def move_to_step(actor: Actor, deployment: Deployment, rollout: Rollout, step: int, *, because: str) -> None:
    """Give the release the share of a step and start the step's clock."""
    steps = read_plan(rollout.plan).steps
    weight, now = steps[step].weight_pct, database_now()
    give_canary(deployment, rollout, weight, steps[step].mirror_pct)
    number = rollout.release.number
    if weight:
        what = f"{weight} % of shoppers see release {number} now"
    elif steps[step].mirror_pct:
        what = f"release {number} answers a copy of {steps[step].mirror_pct} % of requests, unseen"
    else:
        what = f"release {number} is at its preview address, and no shopper sees it yet"
    reason = f"{what} (step {step + 1} of {len(steps)}): {because}"[:REASON_MAX]
    fields: dict[str, Any] = {
        "step": step,
        "weight_pct": weight,
        "step_started_at": now,
        "paused_at": None,
        "progress_done": step,
        "progress_total": len(steps),
        "progress_unit": "steps",
        "stage": f"step {step + 1} of {len(steps)}",
    }
    if rollout.status != "progressing":
        transition(
            rollout,
            "progressing",
            actor=actor,
            shop=rollout.shop_id,
            reason=reason,
            event_data={"step": step, "weight_pct": weight},
            **fields,
        )
        say(rollout, reason)
        return
    # A form that was made at the step before must not act on this one: its version is old now.
    Rollout.objects.filter(pk=rollout.pk).update(lock_version=F("lock_version") + 1, reason=reason, **fields)
    rollout.refresh_from_db(fields=["lock_version", "reason", *fields])
    record(
        "rollout.step_advanced",
        rollout,
        actor=actor,
        shop=rollout.shop_id,
        reason=reason,
        step=step,
        weight_pct=weight,
    )


def finish(
    actor: Actor, deployment: Deployment, rollout: Rollout, *, because: str, verb: str | None = None
) -> None:
    """End a rollout well: its release is the stable one, its request is applied, the next one begins."""
    if rollout.kind == "promote":
        make_stable(deployment, rollout.release)
        _apply_request(rollout)
    _end(actor, rollout, "succeeded", because, verb)
    start_next_approved(deployment, after_rollback=rollout.kind == "rollback")


def give_up(
    actor: Actor,
    deployment: Deployment,
    rollout: Rollout,
    *,
    to: str,
    reason: str,
    verb: str | None = None,
    makes_way: bool = False,
) -> None:
    """End a rollout without its release: everybody gets the stable one again. `to`: failed or aborted.

    The next approved request begins, unless this one makes way for something that its caller begins.
    """
    take_back(deployment, rollout)
    _end(actor, rollout, to, reason, verb)
    if not makes_way:
        start_next_approved(deployment, after_rollback=rollout.kind == "rollback")


def say(rollout: Rollout, reason: str) -> None:
    """Write the phase in words into the row, without an event."""
    rollout.reason = reason[:REASON_MAX]
    rollout.save(update_fields=["reason"])


def note_phase(rollout: Rollout, reason: str) -> None:
    """Write the phase in words; one event whenever the phase changes, not with every number in it."""
    if not reason or reason == rollout.reason:
        return
    before = rollout.reason.partition(":")[0]
    say(rollout, reason)
    if reason.partition(":")[0] != before:
        record("rollout.noted", rollout, actor=system("rollout"), shop=rollout.shop_id, reason=reason)


def _apply_request(rollout: Rollout) -> None:
    asked = Promotion.objects.select_for_update(no_key=True).filter(
        pk=rollout.promotion_id, status="approved"
    )
    promotion = asked.first()
    if promotion is None:
        return
    transition(
        promotion,
        "applied",
        actor=system("rollout"),
        shop=rollout.shop_id,
        reason=f"release {rollout.release.number} serves everybody",
    )


def _end(actor: Actor, rollout: Rollout, to: str, reason: str, verb: str | None = None) -> None:
    # From a pause the way to success leads over progressing: each is a step of its own in the history.
    if rollout.status in ("paused", "pending") and to == "succeeded":
        transition(rollout, "progressing", actor=actor, shop=rollout.shop_id, reason=reason[:REASON_MAX])
    error = None
    if to == "failed":
        error = {"title": "The rollout failed", "detail": reason, **_servers_log(rollout)}
    steps = len(rollout.plan.get("steps", ())) or None
    done: dict[str, Any] = {}
    if to == "succeeded":
        done = {"progress_done": steps, "progress_total": steps, "stage": ""}
    transition(
        rollout,
        to,
        actor=actor,
        shop=rollout.shop_id,
        reason=reason[:REASON_MAX],
        verb=verb,
        finished_at=database_now(),
        due_at=None,
        error=error,
        weight_pct=100 if to == "succeeded" else 0,
        **done,
    )
    say(rollout, reason)


def _servers_log(rollout: Rollout) -> dict[str, str]:
    """Keep what its servers said last: they are removed soon, and their row with them."""
    log = Workload.objects.filter(release=rollout.release_id).values_list("log", flat=True).first()
    return {"log": log} if log else {}
