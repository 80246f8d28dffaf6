"""Bytes of a file as blocks of whole lines: unpacked, counted and limited on the way."""

import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from engine.refusals import FileRefused, FileTooLarge

Progress = Callable[[int, int, int], None]

GZIP_MAGIC = b"\x1f\x8b"
UTF8_MARK = b"\xef\xbb\xbf"
BLOCK_BYTES = 1 << 19
PACKED_READ_BYTES = 1 << 16  # small, so that a bomb's ratio shows early
RATIO_COUNTS_FROM_BYTES = 8 << 20
PROGRESS_EVERY_S = 0.2


@dataclass(frozen=True)
class Limits:
    """What one file may be. Sizes in bytes; the value bounds are inclusive, None for no bound."""

    unpacked_bytes: int = 4 << 30
    unpack_ratio: int = 200
    line_bytes: int = 1 << 20
    id_bytes: int = 256
    rows: int = 200_000_000
    value_min: float | None = None
    value_max: float | None = None


class ByteSource:
    """Read a plain or gzip file block by block, telling `progress` about every 0.2 s.

    `rows` is set by whoever reads the rows, so that progress can name it.
    `progress(done_bytes, total_bytes, rows)` may raise, which ends the reading.
    """

    def __init__(
        self,
        path: Path,
        *,
        limits: Limits,
        progress: Progress | None = None,
        block_bytes: int | None = None,
    ) -> None:
        self.rows = 0
        self.done_bytes = 0
        self.total_bytes = path.stat().st_size
        self._path = path
        self._limits = limits
        self._progress = progress
        self._block_bytes = block_bytes or BLOCK_BYTES
        self._told_at = time.monotonic()

    def blocks(self) -> Iterator[bytes]:
        """Yield unpacked blocks of at least `block_bytes`, the last one shorter."""
        with self._path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC
            file.seek(0)
            parts: list[bytes] = []
            held = unpacked = 0
            for part in (
                self._gunzip(file) if packed else iter(lambda: self._read(file, self._block_bytes), b"")
            ):
                unpacked += len(part)
                self._check_size(unpacked, packed)
                parts.append(part)
                held += len(part)
                if held >= self._block_bytes:
                    yield b"".join(parts)
                    parts, held = [], 0
            if held:
                yield b"".join(parts)

    def tell(self) -> None:
        """Call `progress` now."""
        self._told_at = time.monotonic()
        if self._progress:
            self._progress(self.done_bytes, self.total_bytes, self.rows)

    def _read(self, file: IO[bytes], n_bytes: int = PACKED_READ_BYTES) -> bytes:
        if time.monotonic() - self._told_at >= PROGRESS_EVERY_S:
            self.tell()
        data = file.read(n_bytes)
        self.done_bytes += len(data)
        return data

    def _gunzip(self, file: IO[bytes]) -> Iterator[bytes]:
        member = zlib.decompressobj(wbits=31)
        data = self._read(file)
        while True:
            try:
                unpacked = member.decompress(data, self._block_bytes)
            except zlib.error as error:
                raise FileRefused(
                    "gzip_damaged",
                    f"The gzip file is damaged: {str(error).rpartition(': ')[2]}.",
                    "Compress the original file again and upload that.",
                ) from error
            if unpacked:
                yield unpacked
            if member.eof:
                data = self._skip_padding(file, member.unused_data)
                if not data:
                    return
                member = zlib.decompressobj(wbits=31)
                continue
            data = member.unconsumed_tail or self._read(file)
            if not data and not unpacked:
                raise FileRefused(
                    "gzip_truncated",
                    "The gzip file ends too early: its last part is missing.",
                    "Upload it again; if that does not help, compress the original file again.",
                )

    def _skip_padding(self, file: IO[bytes], data: bytes) -> bytes:
        """Return the next member's bytes, or nothing at the file's end; zero padding is allowed."""
        data = data.lstrip(b"\0")
        while len(data) < len(GZIP_MAGIC):
            more = self._read(file)
            if not more:
                break
            data = (data + more).lstrip(b"\0")
        if data and not data.startswith(GZIP_MAGIC):
            raise FileRefused(
                "gzip_trailing_junk",
                "After the end of the gzip data come bytes that are not gzip.",
                "Compress the original file again and upload that.",
            )
        return data

    def _check_size(self, unpacked: int, packed: bool) -> None:
        limits = self._limits
        if unpacked > limits.unpacked_bytes:
            verb = "unpacks to" if packed else "has"
            raise FileTooLarge(
                "too_large",
                f"The file {verb} more than {limits.unpacked_bytes / 1e6:,.0f} MB.",
                "Split it, or keep a shorter period.",
            )
        if packed and unpacked > max(RATIO_COUNTS_FROM_BYTES, limits.unpack_ratio * self.done_bytes):
            raise FileTooLarge(
                "unpack_ratio",
                f"The file unpacks to more than {limits.unpack_ratio} times its size.",
                "Upload it without compression if this is really your data.",
            )


@dataclass(frozen=True)
class Block:
    """Whole lines, each ended by one `\\n`. first_line counts from 1."""

    first_line: int
    data: bytes
    text: str


def read_blocks(source: ByteSource, limits: Limits) -> Iterator[Block]:
    """Yield the file as blocks of whole lines of UTF-8 text; CRLF and CR become LF.

    Raises FileRefused at NUL, at bytes that are not UTF-8 and at over-long lines, naming the line.
    """
    pending, held, line = b"", b"", 1
    is_first = True
    for chunk in source.blocks():
        if is_first:
            chunk, is_first = chunk.removeprefix(UTF8_MARK), False
        chunk = held + chunk
        held = b""
        if b"\r" in chunk:
            if chunk.endswith(b"\r"):  # its "\n" may come with the next chunk
                chunk, held = chunk[:-1], b"\r"
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        cut = chunk.rfind(b"\n") + 1
        if cut:
            block = _block(line, pending + chunk[:cut], limits)
            yield block
            line += block.data.count(b"\n")
            pending = chunk[cut:]
        else:
            pending += chunk
        if len(pending) > limits.line_bytes:
            raise _line_too_long(line, limits)
    if pending or held:
        yield _block(line, pending + b"\n", limits)


def _block(line: int, data: bytes, limits: Limits) -> Block:
    if len(data) > limits.line_bytes:
        for number, text in enumerate(data.split(b"\n"), line):
            if len(text) > limits.line_bytes:
                raise _line_too_long(number, limits)
    nul = data.find(b"\0")
    if nul >= 0:
        number = line + data.count(b"\n", 0, nul)
        guess = "; the file seems to be UTF-16." if data.count(b"\0") > len(data) // 5 else "."
        raise FileRefused(
            "nul_byte", f"Line {number} contains a NUL byte{guess}", 'Save the file as "CSV UTF-8".', number
        )
    try:
        return Block(line, data, data.decode())
    except UnicodeDecodeError as error:
        number = line + data.count(b"\n", 0, error.start)
        place = error.start - data.rfind(b"\n", 0, error.start)
        raise FileRefused(
            "not_utf8",
            f"Not UTF-8: byte 0x{data[error.start]:02X} at line {number}, byte {place}.",
            'Save the file as "CSV UTF-8".',
            number,
        ) from error


def _line_too_long(line: int, limits: Limits) -> FileRefused:
    return FileRefused(
        "line_too_long",
        f"Line {line} is longer than {limits.line_bytes:,} bytes.",
        "Check that the file is a table with one record a line.",
        line,
    )
