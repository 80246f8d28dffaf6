"""The lease pattern: claim, renew, finish. The row is the truth, the message a wake-up.

A worker claims a row by one conditional UPDATE (attempt + 1, owner, lease), renews the lease from a
process of its own, and fences every write with `WHERE attempt = mine`. A worker that lost its lease
can therefore neither finish nor report progress, whatever it still computes.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from portal.core.errors import Canceled, LeaseLost
from portal.core.heartbeat import heartbeat
from portal.core.models import Leased, LeasedJob

PROGRESS_INTERVAL_S = 0.4


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def lease_expression(seconds: float | None = None) -> Any:
    """Database time plus the lease: host clocks do not count."""
    return Now() + timedelta(seconds=seconds or settings.LEASE_S)


@dataclass
class Claim:
    """One worker's hold on one row."""

    job: Any
    attempt: int
    _last_progress: float = field(default=0.0, repr=False)

    def rows(self) -> models.QuerySet[Any]:
        """The row, if it is still mine."""
        return type(self.job)._default_manager.filter(pk=self.job.pk, attempt=self.attempt)

    def write(self, **fields: Any) -> None:
        """Update columns of the row; raises LeaseLost if another worker has it."""
        if not self.rows().update(**fields):
            raise LeaseLost(f"{self.job} was taken over by another worker.")
        for name, value in fields.items():
            setattr(self.job, name, value)

    def progress(self, stage: str, done: int, total: int | None, unit: str = "", **fields: Any) -> None:
        """Report progress, every 0.4 s at most; raises Canceled or LeaseLost when it is time to stop."""
        now = time.monotonic()
        finished = total is not None and done >= total
        if stage == self.job.stage and not finished and now - self._last_progress < PROGRESS_INTERVAL_S:
            return
        self._last_progress = now
        self.write(stage=stage, progress_done=done, progress_total=total, progress_unit=unit, **fields)
        self.check()

    def check(self) -> None:
        """Raise Canceled if somebody asked the job to stop, LeaseLost if it is no longer mine."""
        status = self.rows().values_list("status", flat=True).first()
        if status is None:
            raise LeaseLost(f"{self.job} was taken over by another worker.")
        if status in ("canceling", "canceled"):
            raise Canceled(f"{self.job} was canceled.")


def claim(
    model: type[Leased], pk: str, *, statuses: tuple[str, ...], lease_s: float | None = None
) -> Claim | None:
    """Take the row if it is claimable and nobody holds a running lease on it; None if not."""
    free = Q(lease_until__isnull=True) | Q(lease_until__lt=Now())
    condition = Q(pk=pk) & free & (Q(status__in=statuses) if statuses else Q())
    with transaction.atomic():
        taken = model._default_manager.filter(condition).update(
            attempt=F("attempt") + 1,
            owner=worker_name(),
            lease_until=lease_expression(lease_s),
            sent_at=None,
        )
        if not taken:
            return None
        job = model._default_manager.get(pk=pk)
    return Claim(job, job.attempt)


def release(claimed: Claim, *, due_in_s: float | None = None) -> None:
    """Give the row back; due_in_s: when it wants the next worker (None: not again)."""
    due_at = None if due_in_s is None else Now() + timedelta(seconds=due_in_s)
    claimed.rows().update(owner="", lease_until=None, due_at=due_at, sent_at=None)


@contextmanager
def leased(model: type[LeasedJob], pk: str) -> Iterator[Claim | None]:
    """Claim a job and keep its lease alive while the block runs; yields None if there is nothing to do."""
    claimed = claim(model, pk, statuses=model.CLAIMABLE)
    if claimed is None:
        yield None
        return
    with heartbeat(model._meta.db_table, pk, claimed.attempt):
        yield claimed


def wake_fields() -> dict[str, Any]:
    """Columns that make a row due at once (for `create` and `transition`)."""
    return {"due_at": Now(), "sent_at": None}
