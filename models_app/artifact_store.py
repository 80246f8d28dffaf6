"""Artifacts in an S3 store beside the portal's own, packed, for servers in a cluster to fetch.

The store is a second place, never the only one: whatever is not there, the portal sends itself.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from django.conf import settings

from models_app.artifact_archive import archive_files, archive_size, write_archive
from portal.core.storage import tree_path

if TYPE_CHECKING:
    from portal.core.object_store import ObjectStore

ADDRESS_VALID_S = 300  # to begin with the download


def store_artifact(digest: str, on_progress: Callable[[int, int], None] | None = None) -> bool:
    """Put an artifact into the S3 store; tell whether it is there now, which it never is without a store.

    on_progress: told how many bytes have gone, of how many; what it raises ends the upload.
    Raises BackendError when the store does not take it.
    """
    store = artifact_store()
    if store is None:
        return False
    key = _key(digest)
    if not store.has(key):
        files = archive_files(tree_path(digest))
        pieces = write_archive(files)
        store.put(key, pieces if on_progress is None else _told(pieces, archive_size(files), on_progress))
    return True


def stored_artifact_url(digest: str) -> str | None:
    """Make an address from which an artifact can be read for a few minutes; None when it is not in S3.

    Raises BackendError when the store does not answer.
    """
    store, key = artifact_store(), _key(digest)
    return store.address(key, valid_s=ADDRESS_VALID_S) if store is not None and store.has(key) else None


def artifact_store() -> "ObjectStore | None":
    """Open the S3 store that the settings name."""
    if not settings.ARTIFACT_S3_URL:
        return None
    # boto3 takes memory in every process, so only those who have a store import it.
    from portal.core.object_store import ObjectStore

    return ObjectStore(settings.ARTIFACT_S3_URL, settings.ARTIFACT_S3_BUCKET)


def _key(digest: str) -> str:
    return f"artifacts/{digest}.tar"


def _told(pieces: Iterator[bytes], size: int, on_progress: Callable[[int, int], None]) -> Iterator[bytes]:
    sent = 0
    for piece in pieces:
        yield piece
        sent += len(piece)
        on_progress(sent, size)
