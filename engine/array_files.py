"""One array a file, written durably and read back by memory map, nothing executed and nothing trusted."""

import hashlib
import os
import stat
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ALLOWED_DTYPES = {"<f2", "<f4", "<f8", "|i1", "|u1", "<i4", "<i8", "<u4"}
MAX_HEADER = 4096


class ArtifactError(ValueError):
    """An artifact that must not be used; the text says which part of it and why."""


@dataclass(frozen=True)
class Declared:
    """What the manifest says of one member."""

    shape: tuple[int, ...]
    dtype: str
    bytes: int
    sha256: str

    @classmethod
    def read(cls, name: str, entry: object) -> "Declared":
        """Take one manifest entry apart; raise ArtifactError when it is not exactly as expected."""
        if not isinstance(entry, dict) or set(entry) != {"shape", "dtype", "bytes", "sha256"}:
            raise ArtifactError(f"the manifest's entry of {name} is malformed")
        shape, dtype, size, digest = entry["shape"], entry["dtype"], entry["bytes"], entry["sha256"]
        whole = isinstance(shape, list) and len(shape) <= 4 and all(type(n) is int and n >= 0 for n in shape)
        if not whole or type(size) is not int or not isinstance(digest, str) or not isinstance(dtype, str):
            raise ArtifactError(f"the manifest's entry of {name} is malformed")
        if dtype not in ALLOWED_DTYPES:
            raise ArtifactError(f"{name} has the type {dtype!r}, which no artifact may hold")
        if size > prod(shape) * np.dtype(dtype).itemsize + MAX_HEADER:
            raise ArtifactError(f"{name} declares {size:,} bytes for shape {tuple(shape)}")
        return cls(tuple(shape), dtype, size, digest)

    def as_json(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "dtype": self.dtype, "bytes": self.bytes, "sha256": self.sha256}


def write_array(folder: Path, name: str, array: npt.NDArray[Any]) -> Declared:
    """Write folder/name.npy, fsynced, and say what was written."""
    plain = np.ascontiguousarray(array)
    if plain.dtype.str not in ALLOWED_DTYPES:
        raise ArtifactError(f"{name} has the type {plain.dtype}, which no artifact may hold")
    if plain.dtype.kind == "f" and name != "item_prices" and not np.isfinite(plain).all():
        raise ArtifactError(f"{name} holds values that are not finite; this model cannot be kept")
    path = folder / f"{name}.npy"
    with path.open("xb") as file:
        np.lib.format.write_array(file, plain, version=(1, 0), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Declared(plain.shape, plain.dtype.str, path.stat().st_size, digest)


def map_array(folder: Path, name: str, declared: Declared, *, verify: bool) -> npt.NDArray[Any]:
    """Memory-map folder/name.npy after its size, header and (verify) content agree with `declared`."""
    with open_regular(folder / f"{name}.npy", name) as file:
        if os.fstat(file.fileno()).st_size != declared.bytes:
            raise ArtifactError(f"{name} is not {declared.bytes:,} bytes long: truncated or replaced")
        if verify and hashlib.file_digest(file, "sha256").hexdigest() != declared.sha256:
            raise ArtifactError(f"{name} does not have the digest that the manifest names")
        file.seek(0)
        offset = _read_header(file, name, declared)
        if offset + prod(declared.shape) * np.dtype(declared.dtype).itemsize != declared.bytes:
            raise ArtifactError(f"{name} does not hold as many bytes as its shape {declared.shape} needs")
        if prod(declared.shape) == 0:
            return np.empty(declared.shape, declared.dtype)
        # Copy on write: the file can never change, and kernels compiled for writable arrays serve.
        mapped = np.memmap(file, declared.dtype, "c", offset, declared.shape)
    array = mapped.view(np.ndarray)
    if verify and array.dtype.kind == "f" and name != "item_prices" and not np.isfinite(array).all():
        raise ArtifactError(f"{name} holds values that are not finite")
    return array


def open_regular(path: Path, name: str) -> BufferedReader:
    """Open a regular file for reading, never through a symbolic link."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ArtifactError(f"{name} is missing") from None
    except OSError as problem:
        raise ArtifactError(f"{name} cannot be opened as a plain file: {problem.strerror}") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise ArtifactError(f"{name} is not a plain file")
    return os.fdopen(handle, "rb")


def _read_header(file: BufferedReader, name: str, declared: Declared) -> int:
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"format {version}")
        header = np.lib.format.read_array_header_1_0(file, max_header_size=MAX_HEADER)
    except (
        ValueError,
        EOFError,
        TypeError,
        SyntaxError,
        tokenize.TokenError,
        RecursionError,
        MemoryError,
    ) as problem:
        raise ArtifactError(f"{name} is not a plain array file") from problem
    shape, fortran, dtype = header
    if shape != declared.shape or dtype.str != declared.dtype or (fortran and len(shape) > 1):
        raise ArtifactError(
            f"{name} is {dtype} {shape}, but the manifest declares {declared.dtype} {declared.shape}"
        )
    return file.tell()


def only_known(found: Mapping[str, object], known: set[str], what: str) -> None:
    """Refuse keys that this version does not know."""
    unknown = sorted(set(found) - known)
    if unknown:
        raise ArtifactError(f"{what} has unknown parts: {', '.join(map(repr, unknown[:5]))}")
