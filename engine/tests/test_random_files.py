"""Whatever is written is read back; whatever is not a table is refused, never a crash."""

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.catalogue import check_items
from engine.records import Layout, Records
from engine.refusals import FileRefused, ProblemLog
from engine.sniffing import sniff
from engine.streams import Limits
from engine.tests.sample_files import HEADER, check_as_ratings, good_rows, rows_of, write
from engine.validation import check_interactions

often = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
anything = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=8)
id_text = st.text(st.sampled_from("ab1é,;\"|\t '#N".replace("\t", "")), min_size=1, max_size=5).filter(
    str.strip
)
rows = st.lists(
    st.tuples(
        id_text, id_text, st.sampled_from(["1", "4.5", "-2", "1e1"]), st.integers(10**9, 4 * 10**9), anything
    ),
    min_size=1,
    max_size=30,
)


def written(table: list[tuple[object, ...]], **dialect: object) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, **dialect).writerows(table)
    return text.getvalue()


@often
@given(
    table=rows,
    delimiter=st.sampled_from([",", ";", "\t"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_what_csv_writer_wrote_is_read_back(tmp_path, table, delimiter, quoting, newline):
    text = written(table, delimiter=delimiter, quoting=quoting, lineterminator=newline)
    path = write(tmp_path, text)
    log = ProblemLog()
    layout = Layout(delimiter, 5, has_header=False)
    read = [
        row
        for batch in Records(path, layout, log=log, limits=Limits())
        for row in zip(*batch.columns, strict=True)
    ]
    assert log.first == []
    assert read == [tuple(map(str, row)) for row in table]


@often
@given(table=rows)
def test_small_blocks_give_the_same_rows_and_lines(tmp_path, table):
    path = write(tmp_path, written(table))
    seen = []
    for block_bytes in (1, 60, 1 << 19):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("engine.streams.BLOCK_BYTES", block_bytes)
            records = Records(path, Layout(",", 5, has_header=False), log=ProblemLog(), limits=Limits())
            seen.append(
                [
                    (int(line), row)
                    for batch in records
                    for line, row in zip(batch.lines, zip(*batch.columns, strict=True), strict=True)
                ]
            )
    assert seen[0] == seen[1] == seen[2]
    breaks = 0
    for (line, _), row in zip(seen[0], table, strict=True):
        assert line == 1 + breaks
        breaks += 1 + row[4].count("\n")


@often
@given(table=rows)
def test_what_is_loaded_is_what_was_written(tmp_path, table):
    table = [("first", "one", "3", 1_500_000_000, ""), ("second", "two", "3", 1_500_000_000, ""), *table]
    path = write(tmp_path, written([("user_id", "item_id", "rating", "timestamp", "note"), *table]))
    known = sniff(path)
    assert known.roles == {"user": 0, "item": 1, "value": 2, "time": 3}
    checked = check_interactions(path, known)
    last = {}
    for user, item, value, at, _ in sorted(table, key=lambda row: row[3]):
        last[user.strip(" "), item.strip(" ")] = (float(value), at)
    assert {(user, item): (value, at) for user, item, value, at in rows_of(checked)} == last
    assert len(checked.interactions) == len(last)
    json.dumps(checked.report, allow_nan=False)


@often
@given(content=st.binary(max_size=400))
@example(b'"')
@example(b'a,b\n"')
@example(b"\xef\xbb\xbf")
@example(b"\x1f\x8b")
@example(b"\r")
@example(b",\n,\n")
@example(b"\xff\xfe")
def test_random_bytes_are_refused_or_reported(tmp_path, content):
    for name, data in (("a", content), ("b", gzip.compress(content)), ("c", HEADER.encode() + content)):
        path = write(tmp_path, data, name)
        assert_told(path)


@often
@given(
    content=st.text(st.sampled_from('u1i2,;:"\n\r\t .5-eé\0\x1fT'), max_size=120),
    good=st.booleans(),
)
def test_random_tables_are_refused_or_reported(tmp_path, content, good):
    assert_told(write(tmp_path, (HEADER + good_rows(3) if good else "") + content))


@often
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.booleans())
def test_a_flipped_byte_in_a_packed_file_is_refused_or_reported(tmp_path, at, byte, cut):
    packed = bytearray(gzip.compress((HEADER + good_rows(200)).encode(), mtime=0))
    at %= len(packed)
    packed[at] = byte
    assert_told(write(tmp_path, bytes(packed[:at] if cut else packed)))


def assert_told(path: Path) -> None:
    """Check a file in every way; each ends in a refusal, in problems or in rows that can be used."""
    for attempt in (check_as_ratings, sniffed_interactions, sniffed_items):
        try:
            checked = attempt(path)
        except FileRefused as refused:
            assert_clear(refused)
        else:
            loaded = checked.catalogue if attempt is sniffed_items else checked.interactions
            assert (loaded is None) == (checked.problem_count > 0)
            assert loaded is None or len(loaded) > 0
            json.dumps(checked.report, allow_nan=False)


def assert_clear(refused: FileRefused) -> None:
    assert refused.detail
    assert refused.hint
    assert refused.line is None or refused.line >= 1


def sniffed_interactions(path):
    return check_interactions(path, sniff(path), {"user": 0, "item": 1})


def sniffed_items(path):
    return check_items(path, sniff(path), {"item": 0, "title": 1})
