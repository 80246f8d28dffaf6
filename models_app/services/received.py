"""A dataset version of the ratings that a shop has sent one by one, instead of an uploaded file."""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from engine.sniffing import SAMPLE_ROWS, FileFormat
from models_app import received
from models_app.models import Dataset, DatasetVersion
from models_app.services.datasets import create_dataset, next_version
from portal.core.actors import Actor, system
from portal.core.dispatch import enqueue_on_commit
from portal.core.errors import Conflict
from portal.core.events import record
from portal.core.jobs import Claim, wake_fields
from portal.core.models import Shop
from portal.core.permissions import authorize
from portal.core.storage import StoredFile, store_blob
from portal.core.transitions import transition

OWN_DATASET = "received ratings"
COLUMNS = ["user_id", "item_id", "rating", "timestamp"]
ROLES = {"user": 0, "item": 1, "value": 2, "time": 3}
CHUNK = 1 << 16
ITEMS = ("items_name", "items_sha256", "items_size", "items_format", "items_roles")


def find_or_create_own(actor: Actor, shop: Shop) -> Dataset:
    """The dataset that received ratings go into when nobody names another."""
    authorize(actor, "datasets.write", shop)
    known = Dataset.objects.filter(shop=shop, name=OWN_DATASET).first()
    return known or create_dataset(actor, shop, OWN_DATASET)


def start_from_ratings(actor: Actor, dataset: Dataset) -> DatasetVersion:
    """Open the dataset's next version for a worker, who writes the ratings down and reads every line.

    The file about items of the version before goes with it. Raises Conflict when no rating was received.
    """
    authorize(actor, "datasets.write", dataset.shop_id)
    if not received.count(dataset.shop):
        raise Conflict(
            "No rating has been received yet. Send them with POST /api/v1/ratings, or upload a file.",
            code="no_ratings",
        )
    with transaction.atomic():
        version = next_version(
            actor, dataset, file_name=OWN_DATASET, ratings_until=timezone.now(), **_items_before(dataset)
        )
        transition(version, "checking", actor=actor, shop=dataset.shop_id, **wake_fields())
        enqueue_on_commit(version)
    return version


def write_down(claim: Claim) -> None:
    """Write every rating received until now into the version's file; nothing changes it afterwards."""
    version: DatasetVersion = claim.job
    claim.progress("collect", 0, None)
    until = timezone.now()
    sample: list[list[str]] = []
    lines = _told(claim, received.read(version.shop), received.count(version.shop), sample)
    stored = store_blob(_as_csv(lines), max_bytes=settings.UPLOAD_MAX_BYTES)
    with transaction.atomic():
        claim.write(
            ratings_until=until,
            file_name=f"ratings until {until:%Y-%m-%d %H.%M.%S} UTC.csv",
            file_sha256=stored.sha256,
            file_size=stored.size,
            file_format=_format(stored, sample).to_dict(),
            roles=ROLES,
        )
        record(
            "datasetversion.file_received",
            version,
            actor=system("check"),
            shop=version.shop_id,
            reason=f"ratings received until {until:%Y-%m-%d %H:%M:%S} UTC",
            kind="interactions",
            sha256=stored.sha256,
            size=stored.size,
        )


def _items_before(dataset: Dataset) -> dict[str, Any]:
    rows = DatasetVersion.objects.filter(dataset=dataset, status="ready").exclude(items_sha256="")
    newest = rows.order_by("-number").first()
    return {} if newest is None else {name: getattr(newest, name) for name in ITEMS}


def _told(
    claim: Claim, ratings: Iterable[received.Rating], total: int, sample: list[list[str]]
) -> Iterator[list[str]]:
    """Turn ratings into fields, note the first ones, and tell how far it is."""
    for number, (user, item, value, at) in enumerate(ratings):
        fields = [user, item, f"{value:.10g}", _seconds(at)]
        if number < SAMPLE_ROWS:
            sample.append(fields)
        if number % 1000 == 0:
            claim.progress("collect", number, max(total, number + 1), "ratings")
        yield fields


def _seconds(at: datetime) -> str:
    return str(int(at.timestamp()))


def _as_csv(lines: Iterable[list[str]]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for fields in lines:
        writer.writerow(fields)
        if text.tell() >= CHUNK:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _format(stored: StoredFile, sample: list[list[str]]) -> FileFormat:
    """Say how to read what was written: known, so that no id can mislead a guess."""
    return FileFormat(
        compression="none",
        encoding="utf-8",
        delimiter=",",
        has_header=True,
        columns=COLUMNS,
        sample_rows=sample,
        roles=ROLES,
        kind="interactions",
        size_bytes=stored.size,
    )
