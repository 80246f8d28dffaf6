"""Gzip files that are damaged, joined or bombs; sizes and progress."""

import gzip
import time
import tracemalloc
import zlib

import pytest

from engine.refusals import FileTooLarge
from engine.sniffing import sniff
from engine.streams import Limits
from engine.tests.sample_files import HEADER, check, check_as_ratings, good_rows, refusal_of, rows_of, write
from engine.validation import check_interactions

TEXT = (HEADER + good_rows(5_000)).encode()
PACKED = gzip.compress(TEXT, mtime=0)  # test names hold its bytes: the same in every worker


def test_a_packed_file_gives_the_same_rows_as_a_plain_one(tmp_path):
    assert rows_of(check(tmp_path, PACKED)) == rows_of(check(tmp_path, TEXT))


def test_members_joined_and_zero_padding_are_read(tmp_path):
    cut = len(TEXT) // 2 + 3
    joined = gzip.compress(TEXT[:cut]) + gzip.compress(TEXT[cut:]) + b"\0" * 600
    assert rows_of(check(tmp_path, joined)) == rows_of(check(tmp_path, TEXT))


def test_many_tiny_members_are_read_in_time(tmp_path):
    text = (HEADER + good_rows(400)).encode()
    joined = b"".join(gzip.compress(text[at : at + 1]) for at in range(len(text)))
    assert len(rows_of(check(tmp_path, joined))) == 400


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (PACKED[:-1], "gzip_truncated"),
        (PACKED[: len(PACKED) // 2], "gzip_truncated"),
        (PACKED[:5], "gzip_truncated"),
        (PACKED[:-8] + b"\1\2\3\4" + PACKED[-4:], "gzip_damaged"),
        (PACKED[:-4] + b"\1\2\3\4", "gzip_damaged"),
        (PACKED[:40] + b"\xff" * 40 + PACKED[80:], "gzip_damaged"),
        (PACKED + b"junk", "gzip_trailing_junk"),
        (PACKED + b"\x1f", "gzip_trailing_junk"),
        (PACKED + PACKED[:100], "gzip_truncated"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, content, code):
    assert refusal_of(tmp_path, content).code == code


def test_a_bomb_is_stopped_by_its_ratio_before_it_unpacks(tmp_path):
    line = b"u1,i1,3,1600000000\n"
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(HEADER.encode() + line * 16)
    for _ in range(100):
        bomb += packer.compress(line * 55_000)
    bomb += packer.flush()
    path = write(tmp_path, bomb)
    known, began = sniff(path), time.perf_counter()
    with pytest.raises(FileTooLarge) as refused:
        check_interactions(path, known)
    assert refused.value.code == "unpack_ratio"
    assert len(bomb) * 200 < 100 * 55_000 * len(line) / 2, "the bomb is larger than what was allowed"
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("content", [TEXT, PACKED])
def test_the_unpacked_size_is_limited(tmp_path, content):
    refused = refusal_of(tmp_path, content, limits=Limits(unpacked_bytes=50_000))
    assert isinstance(refused, FileTooLarge)
    assert refused.code == "too_large"


def test_the_number_of_rows_is_limited(tmp_path):
    assert refusal_of(tmp_path, TEXT, limits=Limits(rows=100)).code == "too_many_rows"


def test_memory_stays_at_a_few_blocks_whatever_the_file(tmp_path):
    path = tmp_path / "ratings.csv"
    with path.open("w") as file:
        file.write("user,item,note\n")
        file.writelines(f"u{k % 7},i{k},{'x' * 4_000}\n" for k in range(10_000))
    known = sniff(path)
    tracemalloc.start()
    try:
        check_interactions(path, known)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 40_000_000
    assert peak < 12_000_000


def test_progress_ends_at_the_whole_file_and_may_cancel(tmp_path):
    seen: list[tuple[int, int, int]] = []
    check(tmp_path, TEXT, progress=lambda *facts: seen.append(facts))
    assert seen[-1] == (len(TEXT), len(TEXT), 5_000)

    class Canceled(Exception):
        pass

    def cancel(done: int, total: int, rows: int) -> None:
        raise Canceled

    with pytest.raises(Canceled):
        check_as_ratings(write(tmp_path, TEXT), progress=cancel)


def test_progress_is_told_while_the_file_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.streams.PROGRESS_EVERY_S", 0.0)
    seen: list[int] = []
    text = HEADER + good_rows(100_000)
    check(tmp_path, text, progress=lambda done, total, rows: seen.append(done))
    assert len(seen) >= 4
    assert seen == sorted(seen)
    assert seen[-1] == len(text)
