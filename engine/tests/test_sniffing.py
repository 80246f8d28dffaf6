"""What a file is, told from its beginning."""

import gzip
import json
from pathlib import Path

import pytest

from engine.refusals import FileRefused, WrongFileType
from engine.sniffing import FileFormat, sniff
from engine.tests.sample_files import HEADER, good_rows, write


def sniff_text(folder: Path, content: str | bytes) -> FileFormat:
    return sniff(write(folder, content))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "::"])
def test_each_delimiter_is_found(tmp_path, delimiter):
    found = sniff_text(tmp_path, (HEADER + good_rows(30)).replace(",", delimiter))
    assert found.delimiter == delimiter
    assert found.has_header
    assert found.columns == ["user_id", "item_id", "rating", "timestamp"]
    assert found.roles == {"user": 0, "item": 1, "value": 2, "time": 3}
    assert found.sample_rows[0] == ["u0", "i0", "1", "1600000000"]


def test_a_decimal_comma_does_not_pass_for_the_delimiter(tmp_path):
    rows = "".join(f"u{k};i{k};{k % 5},5\n" for k in range(30))
    assert sniff_text(tmp_path, rows).delimiter == ";"
    assert sniff_text(tmp_path, "user;item;rating\n" + rows).delimiter == ";"


def test_a_delimiter_inside_quotes_does_not_count(tmp_path):
    found = sniff_text(tmp_path, 'userId;movieId;note\n1;2;"a, b, c"\n2;3;"d, e, f"\n')
    assert found.delimiter == ";"
    assert len(found.columns) == 3


def test_compression_is_told_by_content_not_by_name(tmp_path):
    packed = write(tmp_path, gzip.compress((HEADER + good_rows(9)).encode()), "ratings.csv")
    plain = write(tmp_path, HEADER + good_rows(9), "ratings.csv.gz")
    assert sniff(packed).compression == "gzip"
    assert sniff(plain).compression == "none"
    assert sniff(packed).sample_rows == sniff(plain).sample_rows


def test_a_utf8_mark_is_not_part_of_the_first_name(tmp_path):
    found = sniff_text(tmp_path, b"\xef\xbb\xbf" + (HEADER + good_rows(3)).encode())
    assert found.encoding == "utf-8-sig"
    assert found.columns[0] == "user_id"
    assert found.roles["user"] == 0


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_other_line_ends_are_read(tmp_path, newline):
    found = sniff_text(tmp_path, (HEADER + good_rows(3)).replace("\n", newline))
    assert found.sample_rows[-1] == ["u2", "i0", "3", "1600000002"]


def test_at_most_a_hundred_rows_are_sampled_and_the_format_survives_json(tmp_path):
    found = sniff_text(tmp_path, HEADER + good_rows(20_000))
    assert len(found.sample_rows) == 100
    assert FileFormat.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize(
    ("header", "roles"),
    [
        ("userId,movieId,rating,timestamp", {"user": 0, "item": 1, "value": 2, "time": 3}),
        ("TIMESTAMP,RATING,ITEM_ID,USER_ID", {"user": 3, "item": 2, "value": 1, "time": 0}),
        (
            "user_id:token,item_id:token,rating:float,timestamp:float",
            {"user": 0, "item": 1, "value": 2, "time": 3},
        ),
        ("Customer ID,SKU,Quantity,Order Date", {"user": 0, "item": 1, "value": 2, "time": 3}),
        ("kunde,artikel,note,datum", {"user": 0, "item": 1, "value": 2, "time": 3}),
        ("customer_id,vendor_id,rating,date", {"user": 0, "item": 1, "value": 2, "time": 3}),
    ],
)
def test_roles_follow_names_then_content(tmp_path, header, roles):
    rows = good_rows(30)
    if header.startswith("TIMESTAMP"):
        rows = "".join(",".join(reversed(line.split(","))) + "\n" for line in rows.split())
    found = sniff_text(tmp_path, f"{header}\n{rows}")
    assert found.has_header
    assert found.kind == "interactions"
    assert found.roles == roles


def test_a_file_without_a_header_is_read_by_its_content(tmp_path):
    found = sniff_text(tmp_path, good_rows(30).replace(",", "\t"))
    assert not found.has_header
    assert found.columns == ["column 1", "column 2", "column 3", "column 4"]
    assert found.roles == {"user": 0, "item": 1, "value": 2, "time": 3}


@pytest.mark.parametrize(
    "when", ["2024-01-31", "2024-01-31T10:20:30Z", "2024-01-31 10:20:30", "1700000000123"]
)
def test_a_time_is_known_by_its_look(tmp_path, when):
    found = sniff_text(tmp_path, "".join(f"{when},u{k % 3},i{k}\n" for k in range(9)))
    assert found.roles == {"user": 1, "item": 2, "time": 0}


def test_the_counting_column_of_table_programs_is_left_alone(tmp_path):
    rows = "".join(f"{k},{100 + k % 3},{k * 7},4\n" for k in range(9))
    found = sniff_text(tmp_path, f",customer,product,stars\n{rows}")
    assert found.columns[0] == "column 1"
    assert found.roles == {"user": 1, "item": 2, "value": 3}
    assert sniff_text(tmp_path, rows).roles == {"user": 1, "item": 2, "value": 3}


def test_event_types_are_recognised(tmp_path):
    found = sniff_text(tmp_path, "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE\nu1,i1,1600000000,click\n")
    assert found.roles == {"user": 0, "item": 1, "time": 2, "event_type": 3}


@pytest.mark.parametrize(
    ("content", "roles"),
    [
        ('movieId,title,genres\n1,"Toy Story, A",Comedy\n2,Heat,Crime\n', ("item", "title", "category")),
        ("id,name,category,price\n7,Chair,Home,12.5\n8,Desk,,80\n", ("item", "title", "category", "price")),
        ("1::Toy Story (1995)::Comedy\n2::Heat (1995)::Crime\n", ("item", "title", "category")),
        ("id,name,price,Merchant ID\n7,Chair,12.5,m1\n8,Desk,80,m2\n", ("item", "title", "price", "seller")),
        ("7;Red chair;12.5\n8;Blue desk;80\n", ("item", "title", "price")),
    ],
)
def test_an_item_file_is_told_from_interactions(tmp_path, content, roles):
    found = sniff_text(tmp_path, content)
    assert found.kind == "items"
    assert tuple(found.roles) == roles
    assert tuple(found.roles.values()) == tuple(range(len(roles)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04\x14\0\6\0[Content_Types].xml", "Excel"),
        (b"PK\x03\x04mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "OpenDocument"),
        (b"PK\x03\x04\x14\0\0\0data.csv", "zip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest", "Excel"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"PAR1....", "Parquet"),
        (b"BZh91AY", "bzip2"),
        ("user,item\nu,i\n".encode("utf-16"), "UTF-16"),
        ("user,item\nu,i\n".encode("utf-32"), "UTF-32"),
        (gzip.compress(gzip.compress(b"user,item\nu,i\n", mtime=0), mtime=0), "gzip inside gzip"),
        (gzip.compress(b"%PDF-1.7\n", mtime=0), "PDF"),
        (b'{"user": 1}\n', "JSON"),
        (b"<!DOCTYPE html><html></html>", "web page"),
    ],
)
def test_another_kind_of_file_is_named(tmp_path, content, said):
    with pytest.raises(WrongFileType, match=said) as refused:
        sniff_text(tmp_path, content)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (b"", "empty_file", None),
        (gzip.compress(b"", mtime=0), "no_rows", None),
        (b"\n\n \n", "no_rows", None),
        (HEADER, "no_rows", None),
        ("user,item,user\nu,i,u\n", "duplicate_header", 1),
        ("just words\nand more\n", "one_column", 1),
        (",".join(f"c{k}" for k in range(65)) + "\n" + ",".join("1" * 65) + "\n", "too_many_columns", 1),
        (",".join(f"c{k}" for k in range(120_000)) + "\n", "too_many_columns", 1),
        (HEADER + good_rows(2) + "u" * 2_000_000 + "\n", "line_too_long", 4),
        (b"user,item\nu,i\nu\0,i\n", "nul_byte", 3),
        ("user,item\nu,i\n".encode("utf-16-le"), "nul_byte", 1),
        (b"user,item\nu,i\n\xe9t\xe9,i\n", "not_utf8", 3),
        (HEADER + 'u1,i1,3,1\nu2,"i2,3,1\nu3,i3,3,1\n', "unclosed_quote", 3),
    ],
)
def test_what_cannot_be_a_table_is_refused_with_its_line(tmp_path, content, code, line):
    with pytest.raises(FileRefused) as refused:
        sniff_text(tmp_path, content)
    assert (refused.value.code, refused.value.line) == (code, line)
    assert refused.value.hint
    assert str(tmp_path) not in refused.value.detail
