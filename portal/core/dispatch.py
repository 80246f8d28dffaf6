"""Send wake-ups: at commit, and again by the dispatcher for whatever is due or was lost."""

import logging
from datetime import timedelta
from typing import Any

from celery import current_app
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from portal.core.actors import system
from portal.core.models import Leased, LeasedJob
from portal.core.transitions import transition

log = logging.getLogger(__name__)

RESEND_AFTER_S = 5.0  # a message not claimed by then counts as lost
BATCH = 100

DISPATCHED: list[type[Any]] = []  # every Leased model, registered by its app's ready()


def dispatched(model: type[Leased]) -> type[Leased]:
    """Register a model whose rows the dispatcher wakes."""
    DISPATCHED.append(model)
    return model


def enqueue(model: type[Leased], pk: str) -> bool:
    """Send one wake-up; False when the broker cannot take it now (the dispatcher tries again)."""
    try:
        current_app.send_task(model.TASK, args=[pk], queue=model.QUEUE)
    except (BrokerError, RedisError, OSError) as error:
        log.warning("wake-up of %s not sent: %s", pk, error)
        return False
    return True


def enqueue_on_commit(obj: Leased) -> None:
    """Wake a worker for this row as soon as the present transaction is committed."""
    model, pk = type(obj), obj.pk
    transaction.on_commit(lambda: _send_and_mark(model, pk))


def _send_and_mark(model: type[Any], pk: str) -> None:
    if enqueue(model, pk):
        model._default_manager.filter(pk=pk).update(sent_at=Now())


def dispatch_once() -> int:
    """Wake what is due, and take back what lost its worker; returns how many rows were touched."""
    return sum(_dispatch_model(model) for model in DISPATCHED)


def _dispatch_model(model: type[Any]) -> int:
    lost = Q(lease_until__lt=Now())
    due = Q(due_at__lte=Now(), lease_until__isnull=True)
    unsent = Q(sent_at__isnull=True) | Q(sent_at__lt=Now() - timedelta(seconds=RESEND_AFTER_S))
    wanted = (lost | due) & unsent
    if issubclass(model, LeasedJob):
        wanted &= Q(status__in=model.CLAIMABLE)
    with transaction.atomic():
        rows = list(
            model._default_manager.select_for_update(skip_locked=True)
            .filter(wanted)
            .order_by("due_at")[:BATCH]
        )
        for row in rows:
            if row.lease_until is not None and model.MAX_ATTEMPTS and row.attempt >= model.MAX_ATTEMPTS:
                _give_up(row)
            elif enqueue(model, row.pk):
                model._default_manager.filter(pk=row.pk).update(sent_at=Now())
    return len(rows)


def _give_up(job: Any) -> None:
    times = job.MAX_ATTEMPTS
    reason = f"worker lost {times} times"
    problem = {
        "title": "The worker was lost",
        "detail": f"The worker that ran this died {times} times. It may need more memory than there is.",
    }
    to = "canceled" if job.status == "canceling" else "failed"
    transition(
        job,
        to,
        actor=system("dispatcher"),
        shop=job.shop_id,
        reason=reason,
        error=problem,
        lease_until=None,
        due_at=None,
        finished_at=Now(),
    )
