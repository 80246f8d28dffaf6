"""An artifact on its way to other machines: a plain tar of the files that its manifest names, that first.

The sender needs no copy on disk, and knows the size before the first byte.
"""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

CHUNK_BYTES = 256 * 1024
END = bytes(2 * tarfile.BLOCKSIZE)


def archive_files(folder: Path) -> list[Path]:
    """List an artifact's files in the order in which they are sent."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    names = [f"{name}.npy" for name in sorted(manifest["members"])] + sorted(manifest.get("files", ()))
    return [folder / name for name in ("manifest.json", *names)]


def archive_size(files: list[Path]) -> int:
    """Reckon the archive's length in bytes."""
    return len(END) + sum(tarfile.BLOCKSIZE + _padded(path.stat().st_size) for path in files)


def write_archive(files: list[Path]) -> Iterator[bytes]:
    """Yield the archive piece by piece; no piece is empty."""
    for path in files:
        size = path.stat().st_size
        header = tarfile.TarInfo(path.name)
        header.size = size
        yield header.tobuf(tarfile.USTAR_FORMAT)
        sent = 0
        with path.open("rb") as file:
            while sent < size and (chunk := file.read(min(CHUNK_BYTES, size - sent))):
                sent += len(chunk)
                yield chunk
        if padding := bytes(_padded(size) - sent):
            yield padding
    yield END


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
