"""The worker's part of an upload: read every line, keep what was checked, write down what was found."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from engine.catalogue import Catalogue, check_items
from engine.interactions import Interactions
from engine.sniffing import FileFormat
from engine.splitting import default_split
from engine.streams import Limits, Progress
from engine.validation import CheckedFile, check_interactions
from models_app.models import DatasetVersion
from models_app.services.outcomes import NO_LEASE, JobFailed, settled
from models_app.services.pacing import Pace
from models_app.services.received import write_down
from models_app.services.refusals import listed
from models_app.snapshots import Snapshot, keep_snapshot
from portal.core.actors import system
from portal.core.jobs import Claim, leased
from portal.core.storage import blob_path, scratch_folder
from portal.core.transitions import transition

WORKER = "check"


def check_version(version_id: str) -> None:
    """Check one version, if it still waits for that; safe to call twice, late or never."""
    with leased(DatasetVersion, version_id) as claim:
        if claim is None:
            return
        with settled(claim, WORKER):
            _check(claim)


def _check(claim: Claim) -> None:
    version: DatasetVersion = claim.job
    claim.write(started_at=timezone.now(), stage="")
    if version.ratings_until is not None and not version.file_sha256:
        write_down(claim)
    checked = _read_interactions(claim)
    interactions, report = checked.interactions, checked.report
    assert interactions is not None
    catalogue = None
    if version.items_sha256:
        catalogue, report["items_file"] = _read_items(claim)
        known = catalogue.ids.positions
        sold = interactions.item_ids.to_list()
        described = sum(item in known for item in sold)
        report["items_file"] |= {"described": described, "not_chosen": len(catalogue) - described}
        for item in report["top_items"]:
            at = known.get(item["id"])
            item["title"] = "" if at is None else catalogue.titles[at]
    claim.progress("save", 0, None)
    with scratch_folder(f"{version.pk}-{claim.attempt}") as folder:
        claim.check()
        digest = keep_snapshot(folder, Snapshot(interactions, catalogue, checked.events))
    _finish(claim, checked, digest)


def _read_interactions(claim: Claim) -> CheckedFile:
    version: DatasetVersion = claim.job
    checked = check_interactions(
        blob_path(version.file_sha256),
        FileFormat.from_dict(version.file_format),
        version.roles,
        limits=Limits(unpacked_bytes=settings.UNPACKED_MAX_BYTES),
        progress=_progress(claim, "interactions"),
        leave_out_bad_rows=version.leave_out_bad_rows,
        now=timezone.now().timestamp(),
        keep_events=True,
    )
    if checked.interactions is None:
        raise _bad_lines(checked, version.file_name, "/file")
    return checked


def _read_items(claim: Claim) -> tuple[Catalogue, dict[str, Any]]:
    version: DatasetVersion = claim.job
    checked = check_items(
        blob_path(version.items_sha256),
        FileFormat.from_dict(version.items_format),
        version.items_roles,
        limits=Limits(unpacked_bytes=settings.UNPACKED_MAX_BYTES),
        progress=_progress(claim, "items"),
        leave_out_bad_rows=version.leave_out_bad_rows,
    )
    if checked.catalogue is None:
        raise _bad_lines(checked, version.items_name, "/items")
    return checked.catalogue, checked.report


def _progress(claim: Claim, stage: str) -> Progress:
    pace = Pace()

    def report(done_bytes: int, total_bytes: int, rows: int) -> None:
        claim.progress(
            stage, done_bytes, total_bytes, "bytes", row_count=rows, eta_s=pace.eta_s(done_bytes, total_bytes)
        )

    return report


def _bad_lines(checked: Any, name: str, pointer: str) -> JobFailed:
    lines = f"{checked.problem_count:,} problem{'s' if checked.problem_count != 1 else ''}"
    return JobFailed(
        f"{name} has {lines}. The first: {checked.problems[0].detail} Nothing was loaded.",
        title="The file has lines that cannot be used",
        code=checked.problems[0].code,
        problems=[listed(problem, pointer) for problem in checked.problems],
        problem_count=checked.problem_count,
        row_count=checked.rows,
        report={"rows": checked.rows, "problem_kinds": checked.counts},
    )


def _finish(claim: Claim, checked: CheckedFile, digest: str) -> None:
    version: DatasetVersion = claim.job
    interactions, report = checked.interactions, checked.report
    assert interactions is not None
    n_users, n_items = interactions.shape
    first_at, last_at = _period(interactions)
    transition(
        version,
        "ready",
        actor=system(WORKER),
        shop=version.shop_id,
        attempt=claim.attempt,
        event_data={"sha256": version.file_sha256, "rows": checked.rows, "interactions": len(interactions)},
        interactions_digest=digest,
        row_count=checked.rows,
        user_count=n_users,
        item_count=n_items,
        interaction_count=len(interactions),
        density=report["density"],
        first_at=first_at,
        last_at=last_at,
        report={**report, "problem_kinds": checked.counts, "split": _propose_split(interactions)},
        problems=[listed(problem) for problem in checked.problems],
        problem_count=checked.problem_count,
        error=None,
        finished_at=timezone.now(),
        **NO_LEASE,
    )


def _propose_split(interactions: Interactions) -> dict[str, Any]:
    """Choose the split that a training on this version starts from, while the data is in memory."""
    config, why = default_split(interactions)
    return {"config": asdict(config), "why": why}


def _period(interactions: Interactions) -> tuple[datetime | None, datetime | None]:
    times = interactions.times
    if times is None:
        return None, None
    return datetime.fromtimestamp(int(times.min()), UTC), datetime.fromtimestamp(int(times.max()), UTC)
