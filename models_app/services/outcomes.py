"""How a job of this stage ends when it does not succeed: one place for checks and runs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from engine.refusals import FileRefused
from models_app.services.refusals import listed
from portal.core.actors import system
from portal.core.errors import Canceled, LeaseLost, PortalError, StaleState
from portal.core.jobs import Claim, release
from portal.core.transitions import transition

log = logging.getLogger(__name__)

# Columns that end a lease, written by the same UPDATE that ends the job.
NO_LEASE: dict[str, Any] = {"owner": "", "lease_until": None, "due_at": None, "sent_at": None, "eta_s": None}


class JobFailed(PortalError):
    """The job cannot succeed, whoever tries; `fields` are further columns that say why."""

    def __init__(self, detail: str, *, title: str, code: str, **fields: Any) -> None:
        super().__init__(detail, code=code)
        self.title = title
        self.fields = fields


@contextmanager
def settled(claim: Claim, worker: str) -> Iterator[None]:
    """Run a job's work; whatever stops it becomes the row's final status.

    A database that goes away fails nothing: the lease runs out and another worker takes the row.
    """
    try:
        yield
    except LeaseLost as error:
        log.warning("%s; this attempt's work is dropped", error)
    except (Canceled, StaleState):
        _end_if_canceled(claim, worker)
    except JobFailed as error:
        _fail(claim, worker, error.title, error.detail, error.code, **error.fields)
    except FileRefused as error:
        problem = listed(error.as_problem())
        _fail(
            claim, worker, "The file cannot be used", f"{error.detail} {error.hint}", error.code,
            problems=[problem], problem_count=1,
        )  # fmt: skip
    except PortalError as error:
        _fail(claim, worker, error.title, error.detail, error.code)
    except (OperationalError, InterfaceError):
        raise
    except MemoryError:
        log.exception("%s ran out of memory", claim.job)
        detail = "The worker has too little memory for this. Use less data or smaller settings."
        _fail(claim, worker, "Out of memory", detail, "out_of_memory")
    except Exception:
        # The person gets a sentence; the log gets the trace.
        log.exception("%s failed by a mistake of ours", claim.job)
        detail = "Aisle made a mistake here; nothing else is affected. The worker's log has the details."
        _fail(claim, worker, "Something went wrong inside Aisle", detail, "internal_error")


def _end_if_canceled(claim: Claim, worker: str) -> None:
    job = claim.rows().first()
    if job is None:
        log.warning("%s was taken over; this attempt's work is dropped", claim.job)
    elif job.status == "canceling":
        transition(
            job,
            "canceled",
            actor=system(worker),
            shop=job.shop_id,
            attempt=claim.attempt,
            finished_at=timezone.now(),
            **NO_LEASE,
        )
    elif not job.TRANSITIONS[job.status]:
        release(claim)


def _fail(claim: Claim, worker: str, title: str, detail: str, code: str, **fields: Any) -> None:
    job = claim.rows().first()
    if job is None:
        log.warning("%s was taken over; this attempt's failure is not recorded: %s", claim.job, detail)
        return
    if job.status in ("canceling", "canceled"):
        _end_if_canceled(claim, worker)
        return
    transition(
        job,
        "failed",
        actor=system(worker),
        shop=job.shop_id,
        reason=detail,
        attempt=claim.attempt,
        error={"title": title, "detail": detail, "code": code},
        finished_at=timezone.now(),
        **{**NO_LEASE, **fields},
    )
