"""From an upload to the start of its check: datasets, their versions, files and columns."""

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Max

from engine.refusals import FileRefused
from engine.roles import INTERACTION_ROLES, ITEM_ROLES, check_roles
from engine.sniffing import sniff
from models_app.models import Dataset, DatasetVersion
from models_app.services.refusals import invalid, refused_file
from portal.core.actors import Actor
from portal.core.dispatch import enqueue_on_commit
from portal.core.errors import Conflict, InvalidTransition, StaleState
from portal.core.events import record
from portal.core.jobs import wake_fields
from portal.core.models import Shop
from portal.core.permissions import authorize
from portal.core.storage import StoredFile, blob_path, store_blob
from portal.core.transitions import transition

# Columns of a version that belong to each of its two files.
ROLES_OF = {"interactions": INTERACTION_ROLES, "items": ITEM_ROLES}
_PREFIX_OF = {"interactions": "file", "items": "items"}
MAX_FILE_NAME = 255


def create_dataset(actor: Actor, shop: Shop, name: str) -> Dataset:
    """Name a new source of ratings."""
    authorize(actor, "datasets.write", shop)
    name = name.strip()
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise invalid("/name", "A dataset's name has 1 to 80 printable characters.")
    try:
        with transaction.atomic():
            dataset = Dataset.objects.create(shop=shop, name=name, created_by=actor.user)
            record("dataset.created", dataset, actor=actor, shop=shop)
    except IntegrityError as error:
        taken = f"There is a dataset named “{name}” already. Add a version to it, or choose another name."
        raise Conflict(taken, code="name_taken") from error
    return dataset


def start_version(actor: Actor, dataset: Dataset) -> DatasetVersion:
    """Open the next version of a dataset for its files."""
    authorize(actor, "datasets.write", dataset.shop_id)
    with transaction.atomic():
        return next_version(actor, dataset)


def attach_file(
    actor: Actor,
    version: DatasetVersion,
    chunks: Iterable[bytes],
    file_name: str,
    kind: str | None = None,
) -> DatasetVersion:
    """Stream a file to disk, look at its beginning and make it the version's interactions or items.

    kind: "interactions", "items", or None to tell by the columns. A second file of a kind replaces the first.
    What can be seen at once is refused at once: too large 413, not a table 415, unreadable 422.
    """
    authorize(actor, "datasets.write", version.shop_id)
    if kind is not None and kind not in ROLES_OF:
        raise invalid("/kind", f"A file is one of: {', '.join(ROLES_OF)}.")
    _require_uploading(version)
    stored = store_blob(chunks, max_bytes=settings.UPLOAD_MAX_BYTES)
    try:
        file_format = sniff(blob_path(stored.sha256))
    except FileRefused as error:
        _forget_refused(stored)
        raise refused_file(error) from error
    kind = kind or file_format.kind
    roles = {role: at for role, at in file_format.roles.items() if role in ROLES_OF[kind]}
    prefix = _PREFIX_OF[kind]
    columns = {
        f"{prefix}_name": clean_file_name(file_name),
        f"{prefix}_sha256": stored.sha256,
        f"{prefix}_size": stored.size,
        "file_format" if kind == "interactions" else "items_format": file_format.to_dict(),
        "roles" if kind == "interactions" else "items_roles": roles,
    }
    with transaction.atomic():
        _change(DatasetVersion.objects.filter(pk=version.pk), version, columns)
        record(
            "datasetversion.file_received",
            version,
            actor=actor,
            shop=version.shop_id,
            kind=kind,
            sha256=stored.sha256,
            size=stored.size,
        )
    return version


def set_columns(
    actor: Actor,
    version: DatasetVersion,
    roles: Mapping[str, int] | None = None,
    items_roles: Mapping[str, int] | None = None,
    *,
    leave_out_bad_rows: bool | None = None,
) -> DatasetVersion:
    """Say which column is what (position by role, from 0); None leaves that part as it is.

    Raises StaleState if the version changed since `version` was read.
    """
    authorize(actor, "datasets.write", version.shop_id)
    _require_uploading(version)
    changes: dict[str, Any] = {}
    if roles is not None:
        changes["roles"] = _checked_roles(version, "interactions", roles)
    if items_roles is not None:
        changes["items_roles"] = _checked_roles(version, "items", items_roles)
    if leave_out_bad_rows is not None:
        changes["leave_out_bad_rows"] = leave_out_bad_rows
    if not changes:
        return version
    with transaction.atomic():
        seen = DatasetVersion.objects.filter(pk=version.pk, lock_version=version.lock_version)
        _change(seen, version, changes)
        record("datasetversion.columns_set", version, actor=actor, shop=version.shop_id, **changes)
    return version


def start_check(actor: Actor, version: DatasetVersion) -> DatasetVersion:
    """Hand a version with its file and columns to a worker, who reads every line."""
    authorize(actor, "datasets.write", version.shop_id)
    _require_uploading(version)
    if not version.file_sha256:
        raise Conflict(f"{version} has no file with interactions yet. Upload one first.", code="file_missing")
    try:
        check_roles(version.file_format["columns"], version.roles, INTERACTION_ROLES[:2])
        if version.items_sha256:
            check_roles(version.items_format["columns"], version.items_roles, ITEM_ROLES[:1])
    except FileRefused as error:
        raise refused_file(error, "/roles") from error
    with transaction.atomic():
        transition(version, "checking", actor=actor, shop=version.shop_id, **wake_fields())
        enqueue_on_commit(version)
    return version


def cancel_version(actor: Actor, version: DatasetVersion, reason: str = "") -> DatasetVersion:
    """Give up an upload or a check; a worker that reads it stops within a second."""
    authorize(actor, "datasets.write", version.shop_id)
    transition(version, "canceled", actor=actor, shop=version.shop_id, reason=reason, due_at=None)
    return version


def retry_version(
    actor: Actor, version: DatasetVersion, *, leave_out_bad_rows: bool | None = None
) -> DatasetVersion:
    """Open a new version from the same files and columns, ready for `start_check`."""
    authorize(actor, "datasets.write", version.shop_id)
    if version.status not in ("failed", "canceled"):
        raise Conflict(f"{version} is {version.status}; only a failed or canceled version is tried again.")
    if leave_out_bad_rows is None:
        leave_out_bad_rows = version.leave_out_bad_rows
    copied = (
        "file_name", "file_sha256", "file_size", "items_name", "items_sha256", "items_size",
        "file_format", "roles", "items_format", "items_roles", "ratings_until",
    )  # fmt: skip
    values = {name: getattr(version, name) for name in copied}
    if not version.file_sha256:  # its ratings were not written down: it waits for a file like any other
        values |= {"file_name": "", "ratings_until": None}
    with transaction.atomic():
        return next_version(
            actor, version.dataset, leave_out_bad_rows=leave_out_bad_rows, again=version.pk, **values
        )


def clean_file_name(name: str) -> str:
    """Keep a person's file name as plain text: no folders, no control or direction characters."""
    last = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(each for each in last if not unicodedata.category(each).startswith("C")).strip()
    return shown[:MAX_FILE_NAME] or "unnamed"


def next_version(actor: Actor, dataset: Dataset, again: str = "", **values: Any) -> DatasetVersion:
    """Write the row of a dataset's next version; call it in a transaction.

    again: the version that it is another attempt of.
    """
    # The dataset's row first: two uploads at once must not take the same number.
    Dataset.objects.select_for_update(no_key=True).get(pk=dataset.pk)
    newest = DatasetVersion.objects.filter(dataset=dataset).aggregate(newest=Max("number"))["newest"] or 0
    version = DatasetVersion.objects.create(
        shop_id=dataset.shop_id, dataset=dataset, number=newest + 1, created_by=actor.user, **values
    )
    facts = {"again": again} if again else {}
    record("datasetversion.started", version, actor=actor, shop=dataset.shop_id, **facts)
    return version


def _require_uploading(version: DatasetVersion) -> None:
    if version.status != "uploading":
        raise InvalidTransition(
            f"{version} is {version.status}: its files and columns stay as they are. Upload a new version.",
            current=version.status,
            allowed=sorted(version.TRANSITIONS[version.status]),
        )


def _change(rows: Any, version: DatasetVersion, columns: dict[str, Any]) -> None:
    if not rows.filter(status="uploading").update(lock_version=F("lock_version") + 1, **columns):
        raise StaleState(f"{version} has changed since you looked at it. Look again and decide anew.")
    version.refresh_from_db(fields=["lock_version", *columns])


def _checked_roles(version: DatasetVersion, kind: str, roles: Mapping[str, int]) -> dict[str, int]:
    field = "roles" if kind == "interactions" else "items_roles"
    facts = version.file_format if kind == "interactions" else version.items_format
    if not facts:
        raise Conflict(f"{version} has no file with {kind} yet. Upload one first.", code="file_missing")
    for role, at in roles.items():
        if role not in ROLES_OF[kind]:
            raise invalid(f"/{field}/{role}", f"Unknown role. Known are: {', '.join(ROLES_OF[kind])}.")
        if type(at) is not int or not 0 <= at < len(facts["columns"]):
            raise invalid(f"/{field}/{role}", f"A column's position is 0 to {len(facts['columns']) - 1}.")
    if len(set(roles.values())) < len(roles):
        raise invalid(f"/{field}", "Each role needs a column of its own.")
    return dict(roles)


def _forget_refused(stored: StoredFile) -> None:
    """Delete a file that nothing names: whoever sends the same bytes is refused the same way."""
    named = DatasetVersion.objects.filter(file_sha256=stored.sha256) | DatasetVersion.objects.filter(
        items_sha256=stored.sha256
    )
    if not named.exists():
        blob_path(stored.sha256).unlink(missing_ok=True)
