"""What a file is, from its beginning: compression, encoding, delimiter, header and what its columns hold."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from engine.quotes import find_open_quote, unclosed_quote
from engine.records import DOUBLE_COLON, Layout
from engine.refusals import FileRefused, WrongFileType, show
from engine.roles import guess_roles, looks_like_header
from engine.streams import GZIP_MAGIC, UTF8_MARK, ByteSource, Limits, read_blocks

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", DOUBLE_COLON: "two colons"}
SAMPLE_BYTES = 256 << 10
SAMPLE_ROWS = 100
CELL_CHARACTERS = 200
MAX_COLUMNS = 64

OLD_EXCEL, ZIP = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"PK\x03\x04"
MAGIC: Sequence[tuple[bytes, str, str]] = (
    (OLD_EXCEL, "an Excel file", "Export it as CSV (UTF-8)."),
    (b"%PDF-", "a PDF", "Export the table as CSV (UTF-8)."),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture", "Upload the table itself as CSV."),
    (b"\xff\xd8\xff", "a JPEG picture", "Upload the table itself as CSV."),
    (b"GIF8", "a GIF picture", "Upload the table itself as CSV."),
    (b"PAR1", "a Parquet file", "Export it as CSV (UTF-8)."),
    (b"SQLite format 3\0", "an SQLite database", "Export the table as CSV (UTF-8)."),
    (b"BZh", "a bzip2 file", "Unpack it, or compress it with gzip."),
    (b"\xfd7zXZ\0", "an xz file", "Unpack it, or compress it with gzip."),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "Unpack it, or compress it with gzip."),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "Unpack it and upload the CSV file."),
    (b"Rar!\x1a\x07", "a RAR archive", "Unpack it and upload the CSV file."),
)
WIDE_MARKS = (  # UTF-32's little-endian mark begins with UTF-16's
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
NOT_A_TABLE = re.compile(
    r"\s*(?:(?P<web><(?:!doctype|html|\?xml))|(?P<json>\{\s*\"|\[\s*[\[{]))", re.IGNORECASE
)


@dataclass(frozen=True)
class FileFormat:
    """How to read a file, and what seems to stand in it; `roles` may be changed by a person.

    columns: header names, or "column 1" … without a header. roles: column index by role.
    """

    compression: str
    encoding: str
    delimiter: str
    has_header: bool
    columns: list[str]
    sample_rows: list[list[str]]
    roles: dict[str, int]
    kind: str
    size_bytes: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Self:
        return cls(**facts)

    @property
    def layout(self) -> Layout:
        return Layout(self.delimiter, len(self.columns), self.has_header)

    def sample_column(self, index: int) -> list[str]:
        """Return one column's sample, from the rows that have all fields."""
        return [row[index] for row in self.sample_rows if len(row) == len(self.columns)]


def sniff(path: Path, *, limit: int = SAMPLE_BYTES) -> FileFormat:
    """Find out from the first `limit` unpacked bytes how to read a file.

    Raises FileRefused when it cannot be a table of ours, saying what it is instead.
    """
    with path.open("rb") as file:
        head = file.read(64 << 10)
    if not head:
        raise FileRefused("empty_file", "The file is empty (0 bytes).", "Choose the file that has the rows.")
    _refuse_magic(head)
    text, encoding, is_whole = _read_sample(path, limit)
    found = NOT_A_TABLE.match(text)
    if found:
        what = "a web page or XML" if found["web"] else "JSON"
        raise WrongFileType("wrong_type", f"The file is {what}, not a table.", "Export it as CSV (UTF-8).")
    delimiter = _find_delimiter(text)
    rows = _sample_rows(text, delimiter, is_whole=is_whole)
    has_header = looks_like_header(rows)
    if len(rows) <= has_header:
        raise FileRefused("no_rows", "The file has no data rows.", "Choose the file that has the rows.")
    columns = _name_columns(rows, has_header)
    samples = [[cell[:CELL_CHARACTERS] for cell in row] for row in rows[has_header:][:SAMPLE_ROWS]]
    kind, roles = guess_roles(columns, samples, has_header=has_header)
    return FileFormat(
        compression="gzip" if head.startswith(GZIP_MAGIC) else "none",
        encoding=encoding,
        delimiter=delimiter,
        has_header=has_header,
        columns=columns,
        sample_rows=samples,
        roles=roles,
        kind=kind,
        size_bytes=path.stat().st_size,
    )


def _read_sample(path: Path, limit: int) -> tuple[str, str, bool]:
    """Return (text of whole lines, encoding, whether that is all), unpacked if need be."""
    limits = Limits()
    source = ByteSource(path, limits=limits, block_bytes=limit)
    start = next(source.blocks(), b"")
    for mark, name in WIDE_MARKS:
        if start.startswith(mark):
            raise WrongFileType("not_utf8", f"The file is {name}.", 'Save it as "CSV UTF-8".', 1)
    if start.startswith(GZIP_MAGIC):
        raise WrongFileType("nested_gzip", "The file is gzip inside gzip.", "Unpack it once and upload that.")
    _refuse_magic(start)
    text, is_whole = "", True
    for block in read_blocks(ByteSource(path, limits=limits, block_bytes=limit), limits):
        if len(text) >= limit:
            is_whole = False
            break
        text += block.text
    if not text.strip():
        raise FileRefused("no_rows", "The file has no data rows.", "Choose the file that has the rows.")
    return text, "utf-8-sig" if start.startswith(UTF8_MARK) else "utf-8", is_whole


def _refuse_magic(head: bytes) -> None:
    if head.startswith(ZIP):
        if b"[Content_Types].xml" in head or b"xl/" in head:
            raise WrongFileType("wrong_type", "This is an Excel file.", "Export it as CSV (UTF-8).")
        if b"opendocument" in head:
            raise WrongFileType("wrong_type", "This is an OpenDocument file.", "Export it as CSV (UTF-8).")
        raise WrongFileType("wrong_type", "This is a zip archive.", "Unpack it and upload the CSV file.")
    for magic, what, hint in MAGIC:
        if head.startswith(magic):
            raise WrongFileType("wrong_type", f"This is {what}.", hint)


def _split(text: str, delimiter: str, *, most: int, strict: bool = False) -> list[list[str]]:
    rows: list[list[str]] = []
    lines = text.split("\n")
    if delimiter == DOUBLE_COLON:
        return [line.split(DOUBLE_COLON) for line in lines if line][:most]
    try:
        for row in csv.reader((line + "\n" for line in lines), delimiter=delimiter, strict=strict):
            if row:
                rows.append(row)
            if len(rows) == most:
                break
    except csv.Error:
        if strict:
            raise
    return rows


def _find_delimiter(text: str) -> str:
    """Choose the delimiter that gives most rows the same number of fields, at least two."""

    def fitness(delimiter: str) -> tuple[bool, float, int]:
        widths = [len(row) for row in _split(text, delimiter, most=SAMPLE_ROWS)]
        if not widths:
            return False, 0.0, 0
        common, count = Counter(widths).most_common(1)[0]
        return min(widths[0], common) > 1, round(count / len(widths), 1), widths[0]

    best = max(DELIMITERS, key=fitness)
    if not fitness(best)[0]:
        first = text.lstrip("\n").partition("\n")[0]
        raise FileRefused(
            "one_column",
            f"The lines do not split into columns: the first is “{show(first)}”.",
            "Separate columns by comma, semicolon, tab or two colons, the same in every line.",
            1,
        )
    return best


def _sample_rows(text: str, delimiter: str, *, is_whole: bool) -> list[list[str]]:
    """Return the first rows, refusing what no later reading can mend."""
    rows = _split(text, delimiter, most=SAMPLE_ROWS + 1)
    if len(rows[0]) > MAX_COLUMNS:
        raise FileRefused(
            "too_many_columns",
            f"The file has {len(rows[0]):,} columns; {MAX_COLUMNS} are allowed.",
            "Keep the columns for user, item, rating and time.",
            1,
        )
    if delimiter != DOUBLE_COLON:
        try:
            _split(text, delimiter, most=SAMPLE_ROWS + 1, strict=True)
        except csv.Error as error:
            opened = find_open_quote(text, delimiter)
            if opened is not None and (is_whole or "field limit" in str(error)):
                raise unclosed_quote(opened + 1) from error
    return rows


def _name_columns(rows: Sequence[Sequence[str]], has_header: bool) -> list[str]:
    if not has_header:
        width = Counter(map(len, rows)).most_common(1)[0][0]
        return [f"column {number}" for number in range(1, width + 1)]
    names = [name.strip() for name in rows[0]]
    repeated = [name for name, count in Counter(filter(None, names)).items() if count > 1]
    if repeated:
        raise FileRefused(
            "duplicate_header",
            f"The header names “{show(repeated[0])}” more than once.",
            "Give every column its own name.",
            1,
        )
    return [show(name) or f"column {number}" for number, name in enumerate(names, 1)]
