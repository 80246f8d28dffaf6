"""transition(): the only way a status changes."""

from typing import Any

from django.db import transaction
from django.db.models import F

from portal.core.actors import Actor
from portal.core.errors import InvalidTransition, StaleState
from portal.core.events import record
from portal.core.models import Shop, Versioned


def transition(
    obj: Versioned,
    to: str,
    *,
    actor: Actor,
    shop: Shop | str,
    reason: str = "",
    verb: str | None = None,
    attempt: int | None = None,
    event_data: dict[str, Any] | None = None,
    **fields: Any,
) -> None:
    """Move `obj` to status `to`: check the edge, update the row if it still is what I saw, write one event.

    attempt: the lease's fencing token; a worker that lost its lease changes nothing.
    fields: further columns written by the same UPDATE; `obj` is brought up to date.
    Raises InvalidTransition if the edge does not exist, StaleState if somebody was faster.
    """
    seen: str = obj.status  # type: ignore[attr-defined]
    name = obj._meta.verbose_name
    if to not in obj.TRANSITIONS.get(seen, set()):
        allowed = sorted(obj.TRANSITIONS.get(seen, set()))
        ways = f" From here it can become: {', '.join(allowed)}." if allowed else " That is final."
        raise InvalidTransition(
            f"{obj} is {seen}, so it cannot become {to}.{ways}", current=seen, allowed=allowed
        )
    manager: Any = type(obj)._default_manager
    rows = manager.filter(pk=obj.pk, status=seen, lock_version=obj.lock_version)
    if attempt is not None:
        rows = rows.filter(attempt=attempt)
    with transaction.atomic():
        if not rows.update(status=to, lock_version=F("lock_version") + 1, **fields):
            raise StaleState(f"Somebody else changed this {name} first. Look at it again and decide anew.")
        for field, value in {**fields, "status": to, "lock_version": obj.lock_version + 1}.items():
            setattr(obj, field, value)
        record(
            verb or f"{obj._meta.model_name}.{to}",
            obj,
            actor=actor,
            shop=shop,
            reason=reason,
            from_status=seen,
            to_status=to,
            **(event_data or {}),
        )


def check_lock_version(obj: Versioned, seen: int | None) -> None:
    """Raise StaleState if the form that asks was made from an older state of the row."""
    if seen is not None and seen != obj.lock_version:
        raise StaleState(f"{obj} has changed since this page was loaded. Look at it again and decide anew.")
