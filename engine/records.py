"""Records of a delimited file with the line each one starts on.

Three ways give the same rows: a block whose separators form an exact grid is split at once; one whose lines
are one record each goes through the csv module at once; any other goes through it record by record.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.quotes import find_open_quote, quotes_whole_fields, unclosed_quote
from engine.refusals import FileRefused, Problem, ProblemLog, show
from engine.streams import Block, ByteSource, Limits, Progress, read_blocks

DOUBLE_COLON = "::"
UNIT_SEPARATOR = "\x1f"  # stands in for "::", which is not one character


@dataclass(frozen=True)
class Layout:
    """How a file's text is cut: its delimiter, the number of fields a record has, and a header or not."""

    delimiter: str
    n_columns: int
    has_header: bool


@dataclass(frozen=True)
class Batch:
    """Some records, by column. lines: (n,) the line each record starts on."""

    columns: Sequence[Sequence[str]]
    lines: npt.NDArray[np.int64]


class Records:
    """Iterate over a file's records; what is not a record goes to `log`.

    Raises FileRefused when the rest of the file cannot be read (see `read_blocks`; a quote never closed).
    """

    def __init__(
        self,
        path: Path,
        layout: Layout,
        *,
        log: ProblemLog,
        limits: Limits,
        progress: Progress | None = None,
    ) -> None:
        self.rows = 0
        self.bad_rows = 0
        self._layout = layout
        self._log = log
        self._limits = limits
        self._source = ByteSource(path, limits=limits, progress=progress)
        self._skip_header = layout.has_header
        colons = layout.delimiter == DOUBLE_COLON
        self._delimiter = UNIT_SEPARATOR if colons else layout.delimiter
        self._quotes = not colons

    def __iter__(self) -> Iterator[Batch]:
        blocks = _Blocks(read_blocks(self._source, self._limits), self._layout.delimiter)
        for block in blocks:
            yield self._split_grid(block) or self._parse_even(block) or self._parse(block, blocks)
            self._log.close_block()
            if self.rows > self._limits.rows:
                raise FileRefused(
                    "too_many_rows",
                    f"The file has more than {self._limits.rows:,} rows.",
                    "Split it, or keep a shorter period.",
                )
        self._source.tell()

    def _count(self, rows: int) -> None:
        self.rows += rows
        self._source.rows = self.rows

    def _split_grid(self, block: Block) -> Batch | None:
        """Split a block at once, or return None when its separators are not an exact grid."""
        n_columns = self._layout.n_columns
        data = np.frombuffer(block.data, np.uint8)
        separators = np.flatnonzero((data == ord(self._delimiter)) | (data == ord("\n")))
        n_rows = block.data.count(b"\n")
        if len(separators) != n_rows * n_columns or n_columns < 2:
            return None
        if np.any(data[separators[n_columns - 1 :: n_columns]] != ord("\n")):
            return None
        if np.diff(separators, prepend=-1).max() > csv.field_size_limit():
            return None
        text = block.text
        if self._quotes and b'"' in block.data:
            if not quotes_whole_fields(data, separators):
                return None
            text = text.replace('"', "")
        skipped = int(self._skip_header)
        self._skip_header = False
        fields = text[:-1].replace("\n", self._delimiter).split(self._delimiter)
        self._count(n_rows - skipped)
        return Batch(
            [fields[column + skipped * n_columns :: n_columns] for column in range(n_columns)],
            np.arange(block.first_line + skipped, block.first_line + n_rows),
        )

    def _reader(self, lines: Iterable[str]) -> Any:
        return csv.reader(
            lines,
            delimiter=self._delimiter,
            quoting=csv.QUOTE_MINIMAL if self._quotes else csv.QUOTE_NONE,
            strict=True,
        )

    def _parse_even(self, block: Block) -> Batch | None:
        """Parse a block in one go, or return None when a line is not one whole record."""
        lines = _lines(block)
        try:
            rows = list(self._reader(lines))
        except csv.Error:
            return None
        if len(rows) != len(lines) or set(map(len, rows)) != {self._layout.n_columns}:
            return None
        skipped = int(self._skip_header)
        self._skip_header = False
        self._count(len(rows) - skipped)
        columns: list[Sequence[str]] = list(zip(*rows[skipped:], strict=True))
        starts = np.arange(block.first_line + skipped, block.first_line + len(rows))
        return Batch(columns or [()] * self._layout.n_columns, starts)

    def _parse(self, block: Block, blocks: "_Blocks") -> Batch:
        """Parse a block with the csv module, reading on while its last record is not complete."""
        lines = _lines(block)
        n_lines, start, at_end = len(lines), 0, False

        def read_on() -> Iterator[str]:
            nonlocal at_end
            while True:
                record = "".join(lines[start:])
                if len(record) > self._limits.line_bytes:
                    opened = find_open_quote(record, self._delimiter) or 0
                    raise unclosed_quote(block.first_line + start + opened)
                following = next(blocks, None)
                if following is None:
                    at_end = True
                    return
                more = _lines(following)
                lines.extend(more)
                yield from more

        reader = self._reader(chain(lines[:], read_on()))
        rows: list[list[str]] = []
        starts: list[int] = []
        uneven: list[tuple[int, list[str]]] = []
        n_columns, broken = self._layout.n_columns, 0
        while reader.line_num < n_lines:
            start = reader.line_num
            try:
                row = next(reader)
            except csv.Error as error:
                record = "".join(lines[start : reader.line_num])
                problem = self._explain(error, record, block.first_line + start, at_end)
                if not self._skip_header:
                    self._log.note(problem.code, 1, [problem])
                    broken += 1
                self._skip_header = False
                continue
            if self._skip_header and row:
                self._skip_header = False
            elif len(row) == n_columns:
                rows.append(row)
                starts.append(start)
            elif row:
                uneven.append((block.first_line + start, row))
        if reader.line_num < len(lines):
            blocks.push_back(block.first_line + reader.line_num, "".join(lines[reader.line_num :]))
        self._count(len(rows) + len(uneven) + broken)
        self.bad_rows += len(uneven) + broken
        self._log.note("field_count", len(uneven), (self._wrong_count(*found) for found in uneven))
        columns: list[Sequence[str]] = list(zip(*rows, strict=True))
        return Batch(columns or [()] * n_columns, np.array(starts, np.int64) + block.first_line)

    def _wrong_count(self, line: int, row: list[str]) -> Problem:
        expected = self._layout.n_columns
        found = f"{len(row)} field{'s' if len(row) != 1 else ''}"
        whose = f"the header has {expected}" if self._layout.has_header else f"the first rows have {expected}"
        hint = 'Put quotes around fields that contain the separator: "a, b".'
        if len(row) < expected:
            hint = "Add what is missing, or remove the line."
        return Problem(
            "field_count",
            line,
            None,
            show(self._layout.delimiter.join(row)),
            f"Line {line} has {found}, {whose}.",
            hint,
        )

    def _explain(self, error: csv.Error, record: str, line: int, at_end: bool) -> Problem:
        opened = find_open_quote(record, self._delimiter)
        if opened is not None and (at_end or "\n" in record[:-1]):
            raise unclosed_quote(line + opened) from error
        if opened is not None or "field limit" in str(error):
            limit = csv.field_size_limit()
            detail = f"A field on line {line} is longer than {limit:,} characters."
            return Problem(
                "field_too_long", line, None, show(record), detail, "Shorten it, or remove the line."
            )
        return Problem(
            "bad_quote",
            line,
            None,
            show(record.rstrip("\n")),
            f"A quoted field that begins on line {line} goes on after its closing quote.",
            'Inside quotes, write a quote twice: "12"" record".',
        )


class _Blocks:
    """Blocks in order; the part of one that a record reached into is given again from there on."""

    def __init__(self, blocks: Iterator[Block], delimiter: str) -> None:
        self._blocks = blocks
        self._colons = delimiter == DOUBLE_COLON
        self._rest: Block | None = None

    def __iter__(self) -> "_Blocks":
        return self

    def __next__(self) -> Block:
        rest, self._rest = self._rest, None
        if rest is not None:
            return rest
        block = next(self._blocks)
        return _replace_colons(block) if self._colons else block

    def push_back(self, first_line: int, text: str) -> None:
        self._rest = Block(first_line, text.encode(), text)


def _lines(block: Block) -> list[str]:
    return list(io.StringIO(block.text, newline="\n"))


def _replace_colons(block: Block) -> Block:
    """Put one character where "::" stands."""
    stray = block.data.find(UNIT_SEPARATOR.encode())
    if stray >= 0:
        line = block.first_line + block.data.count(b"\n", 0, stray)
        raise FileRefused(
            "control_character", f"Line {line} contains the control character U+001F.", "Remove it.", line
        )
    data = block.data.replace(DOUBLE_COLON.encode(), UNIT_SEPARATOR.encode())
    return Block(block.first_line, data, block.text.replace(DOUBLE_COLON, UNIT_SEPARATOR))
