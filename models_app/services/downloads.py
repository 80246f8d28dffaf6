"""Handing out what was uploaded."""

from dataclasses import dataclass
from pathlib import Path

from models_app.models import DatasetVersion
from portal.core.actors import Actor
from portal.core.errors import NotFound
from portal.core.events import record
from portal.core.permissions import authorize
from portal.core.storage import blob_path


@dataclass(frozen=True)
class KeptFile:
    """One uploaded file: where it is, and the name its owner gave it."""

    path: Path
    name: str
    sha256: str
    size: int


def download_file(actor: Actor, version: DatasetVersion, kind: str = "interactions") -> KeptFile:
    """Find an uploaded file for download, and write down who took it."""
    authorize(actor, "datasets.download", version.shop_id)
    prefix = "items" if kind == "items" else "file"
    digest: str = getattr(version, f"{prefix}_sha256")
    if not digest:
        raise NotFound(f"{version} has no such file.")
    record("datasetversion.downloaded", version, actor=actor, shop=version.shop_id, kind=kind, sha256=digest)
    return KeptFile(
        blob_path(digest), getattr(version, f"{prefix}_name"), digest, getattr(version, f"{prefix}_size")
    )
