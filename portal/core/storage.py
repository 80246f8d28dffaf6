"""Files by content: what is acknowledged is on disk, and what is on disk under a digest never changes.

Order of every write: temporary file, fsync, rename, fsync of the folder. Only then may a row name it.
"""

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from portal.core.errors import StorageFull, TooLarge
from portal.core.ids import new_id

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class StoredFile:
    sha256: str
    size: int


def _root() -> Path:
    return Path(settings.STORAGE_DIR)


def scratch_root() -> Path:
    folder = _root() / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def blob_path(sha256: str) -> Path:
    return _root() / "blobs" / sha256[:2] / sha256


def tree_path(digest: str) -> Path:
    return _root() / "trees" / digest[:2] / digest


def store_blob(chunks: Iterable[bytes], *, max_bytes: int) -> StoredFile:
    """Stream chunks to disk and keep them under their SHA-256; raises TooLarge or StorageFull."""
    partial = scratch_root() / new_id("blob")
    digest, size = hashlib.sha256(), 0
    try:
        with _disk_errors(), partial.open("xb") as target:
            for chunk in chunks:
                size += len(chunk)
                if size > max_bytes:
                    raise TooLarge(f"The file is larger than {max_bytes:,} bytes, which is the limit here.")
                digest.update(chunk)
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        name = digest.hexdigest()
        _move_into_place(partial, blob_path(name))
    finally:
        partial.unlink(missing_ok=True)
    return StoredFile(name, size)


def store_tree(folder: Path, digest: str) -> Path:
    """Keep a finished folder under its digest: fsync every file, then rename."""
    with _disk_errors():
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                _fsync(path)
        _fsync(folder)
        target = tree_path(digest)
        if target.exists():
            shutil.rmtree(folder)
        else:
            _move_into_place(folder, target)
    return target


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """Yield an empty folder for one attempt's output; whatever is left of it afterwards is removed."""
    folder = scratch_root() / name
    folder.mkdir()
    try:
        with _disk_errors():
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep_scratch(older_than_s: float = 3600) -> int:
    """Remove what dead processes left behind; returns how many entries went."""
    limit = time.time() - older_than_s
    old = [path for path in scratch_root().iterdir() if path.stat().st_mtime < limit]
    for path in old:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(old)


def _move_into_place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.rename(source, target)
    except OSError as error:
        # A folder of the same digest got there first: the same content, so nothing is lost.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    _fsync(target.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                "There is no room left to store this. Nothing was kept; free space and try again."
            ) from error
        raise
