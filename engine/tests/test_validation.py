"""A file of interactions, line by line: the exact line, column and reason of what is wrong."""

import time

import numpy as np
import pytest

from engine.refusals import SHOWN_PROBLEMS
from engine.sniffing import sniff
from engine.streams import Limits
from engine.tests.sample_files import HEADER, check, check_as_ratings, good_rows, refusal_of, rows_of, write
from engine.validation import check_interactions

FILLER = 25_000  # rows in front, more than one block of lines


@pytest.fixture(params=["short", "long", "quoted"])
def place(request):
    """Return (rows before the wrong line, its number): in the first block, in a later one, after quotes."""
    if request.param == "short":
        return good_rows(3), 5
    if request.param == "long":
        return good_rows(FILLER), FILLER + 2
    return 'u1,"i,1",3,1600000000\n' + 'u2,i2,3,"1600000000"\n', 4


@pytest.mark.parametrize(
    ("row", "code", "column", "value", "said"),
    [
        ("u1,i9,3", "field_count", None, "u1,i9,3", "has 3 fields, the header has 4"),
        (
            "u1,i9,3,1600000000,x",
            "field_count",
            None,
            "u1,i9,3,1600000000,x",
            "has 5 fields, the header has 4",
        ),
        ("u1,i9,nan,1600000000", "not_finite", "rating", "nan", "is not a finite number"),
        ("u1,i9,-inf,1600000000", "not_finite", "rating", "-inf", "is not a finite number"),
        ("u1,i9,1e400,1600000000", "not_finite", "rating", "1e400", "is not a finite number"),
        ("u1,i9,1e39,1600000000", "not_finite", "rating", "1e39", "is not a finite number"),
        ("u1,i9,,1600000000", "not_finite", "rating", "", "is empty"),
        ('u1,i9,"4,5",1600000000', "decimal_comma", "rating", "4,5", "decimal comma"),
        ("u1,i9,good,1600000000", "not_a_number", "rating", "good", "is not a number"),
        ("u1,i9,1_000,1600000000", "not_a_number", "rating", "1_000", "is not a number"),
        ("u1,i9,٤,1600000000", "not_a_number", "rating", "٤", "is not a number"),
        ("u1,i9,2024-01-31,1600000000", "not_a_number", "rating", "2024-01-31", "is not a number"),
        ("u1,i9,3,yesterday", "bad_timestamp", "timestamp", "yesterday", "is not a time"),
        ("u1,i9,3,", "bad_timestamp", "timestamp", "", "is not a time"),
        ("u1,i9,3,-5", "bad_timestamp", "timestamp", "-5", "is not a time"),
        ("u1,i9,3,1600000000000", "bad_timestamp", "timestamp", "1600000000000", "is not a time"),
        ("u1,i9,3," + "9" * 30, "bad_timestamp", "timestamp", "9" * 30, "is not a time"),
        ("u1,i9,3,2023-02-30", "bad_timestamp", "timestamp", "2023-02-30", "is not a time"),
        (",i9,3,1600000000", "empty_id", "user_id", "", "is empty"),
        ("u1,  ,3,1600000000", "empty_id", "item_id", "  ", "is empty"),
        ("u1," + "x" * 257 + ",3,1600000000", "long_id", "item_id", "x" * 79 + "…", "longer than 256 bytes"),
        ("u1," + "é" * 129 + ",3,1600000000", "long_id", "item_id", "é" * 79 + "…", "longer than 256 bytes"),
        ("u\x07,i9,3,1600000000", "control_character", "user_id", "u\\x07", "control character"),
        ('u1,"i\n9",3,1600000000', "control_character", "item_id", "i\\n9", "control character"),
        ('u1,"i9"x,3,1600000000', "bad_quote", None, 'u1,"i9"x,3,1600000000', "after its closing quote"),
        (
            'u1,"' + "x" * 140_000 + '",3,1600000000',
            "field_too_long",
            None,
            'u1,"' + "x" * 75 + "…",
            "131,072",
        ),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_loaded(tmp_path, place, row, code, column, value, said):
    before, line = place
    checked = check_as_ratings(write(tmp_path, HEADER + before + row + "\n" + good_rows(3, first=700_000)))
    assert checked.interactions is None
    assert checked.problem_count == 1
    assert checked.counts == {code: 1}
    problem = checked.problems[0]
    assert (problem.code, problem.line, problem.column, problem.value) == (code, line, column, value)
    assert f"line {line} " in problem.detail.lower()
    assert said in problem.detail
    assert problem.hint


@pytest.mark.parametrize(
    ("row", "code", "said"),
    [
        (b"u1,i\xe9,3,1600000000", "not_utf8", "byte 0xE9 at line {line}, byte 5"),
        (b"u1,i\0,3,1600000000", "nul_byte", "Line {line} contains a NUL byte"),
        (b'u1,"i9,3,1600000000', "unclosed_quote", "A quote opened on line {line} never closes"),
        (b"u1,i" + b"x" * (1 << 20), "line_too_long", "Line {line} is longer than 1,048,576 bytes"),
    ],
)
def test_what_spoils_the_rest_of_the_file_is_refused_with_its_line(tmp_path, place, row, code, said):
    before, line = place
    content = (HEADER + before).encode() + row + b"\n" + good_rows(30_000, first=700_000).encode()
    refused = refusal_of(tmp_path, content)
    assert (refused.code, refused.line) == (code, line)
    assert said.format(line=line) in refused.detail
    assert refused.as_problem().line == line


def test_a_quote_that_closes_far_below_is_found_by_the_line_it_opened(tmp_path):
    rows = (
        HEADER
        + good_rows(2)
        + 'u1,"i9,3,1600000000\n'
        + good_rows(3)
        + 'u1,i"9,3,1600000000\n'
        + good_rows(2)
    )
    checked = check_as_ratings(write(tmp_path, rows))
    assert [(problem.code, problem.line) for problem in checked.problems] == [("bad_quote", 4)]


def test_a_quote_opened_in_the_second_line_of_a_record_is_found_there(tmp_path):
    rows = HEADER + good_rows(2) + '"u\n1","i9,3,1600000000\n' + good_rows(9)
    assert refusal_of(tmp_path, rows).line == 5


def test_every_row_one_field_too_many_shifts_nothing(tmp_path):
    checked = check(tmp_path, HEADER + good_rows(50).replace("\n", ",extra\n"))
    assert checked.interactions is None
    assert checked.counts == {"field_count": 50}
    assert checked.problems[0].detail == "Line 2 has 5 fields, the header has 4."


def test_the_first_twenty_problems_are_kept_in_order_and_all_are_counted(tmp_path):
    rows = ",i9,bad,1600000000\nu1,,3,never\nu1,i9,3\n" * 40
    checked = check_as_ratings(write(tmp_path, HEADER + rows))
    assert checked.problem_count == 200
    assert checked.counts == {
        "empty_id": 80, "not_a_number": 40, "bad_timestamp": 40, "field_count": 40
    }  # fmt: skip
    assert len(checked.problems) == SHOWN_PROBLEMS
    assert [problem.line for problem in checked.problems[:6]] == [2, 2, 3, 3, 4, 5]
    lines = [problem.line for problem in checked.problems]
    assert lines == sorted(lines)


def test_bad_rows_can_be_left_out_and_are_counted(tmp_path):
    rows = HEADER + good_rows(10) + "u1,i9,bad,never\n" + "u1\n" + "ghost,i1,bad,1600000000\n"
    checked = check(tmp_path, rows, leave_out_bad_rows=True)
    assert checked.left_out == 3
    assert checked.problem_count == 4
    assert checked.rows == 13
    assert rows_of(checked) == rows_of(check(tmp_path, HEADER + good_rows(10)))
    assert "ghost" not in checked.interactions.user_ids.to_list()
    assert checked.report["left_out"] == 3


def test_text_that_looks_like_nothing_stays_an_id(tmp_path):
    ids = ["NA", "null", "None", "nan", "007", "7", "1e5", str(2**70)]
    checked = check(tmp_path, "user,item\n" + "".join(f"{user},i{k % 3}\n" for k, user in enumerate(ids)))
    assert checked.interactions.user_ids.to_list() == ids


def test_ids_are_nfc_normalised_and_lose_outer_spaces(tmp_path):
    checked = check(tmp_path, "user,item\ncafe\u0301,i1\ncaf\u00e9,i2\n u2,i1\nu2 ,i3\n")
    assert checked.interactions.user_ids.to_list() == ["caf\u00e9", "u2"]
    assert len(checked.interactions) == 4
    assert "ids_changed" in {warning["code"] for warning in checked.report["warnings"]}


def test_ids_that_show_nothing_are_warned_about(tmp_path):
    checked = check(tmp_path, "user,item\nu\u200b1,i1\nu1,i2\nu1,i\u202e3\n")
    warnings = {warning["code"]: warning["text"] for warning in checked.report["warnings"]}
    assert warnings["invisible_characters"].startswith("2 ids")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends_and_blank_lines_change_nothing(tmp_path, newline):
    text = HEADER + good_rows(FILLER)
    expected = rows_of(check(tmp_path, text))
    for changed in (text, text + "\n\n\n", text.replace("u0,i1,", "\nu0,i1,", 1), "\n" + text):
        assert rows_of(check(tmp_path, changed.replace("\n", newline))) == expected


def test_lines_are_counted_alike_for_every_line_end(tmp_path):
    text = HEADER + good_rows(FILLER) + "u1,i9,bad,1600000000\n"
    for newline in ("\n", "\r\n", "\r"):
        checked = check(tmp_path, text.replace("\n", newline).encode())
        assert [problem.line for problem in checked.problems] == [FILLER + 2]


def test_a_file_without_its_last_line_end_is_read_whole(tmp_path):
    assert len(rows_of(check(tmp_path, (HEADER + good_rows(10)).rstrip("\n")))) == 10


def test_without_a_value_column_each_row_counts_as_one(tmp_path):
    checked = check(tmp_path, "user,item\nu1,i1\nu2,i2\n")
    assert checked.interactions.values.tolist() == [1.0, 1.0]
    assert checked.interactions.times is None


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        (
            "u1,i1,1,300\nu1,i1,2,500\nu1,i1,3,400\nu2,i2,9,100\n",
            [("u1", "i1", 2.0, 500), ("u2", "i2", 9.0, 100)],
        ),
        ("u1,i1,1,300\nu2,i2,9,100\nu1,i1,2,300\n", [("u2", "i2", 9.0, 100), ("u1", "i1", 2.0, 300)]),
    ],
)
def test_of_a_repeated_pair_the_last_by_time_then_in_the_file_stands(tmp_path, rows, kept):
    checked = check(tmp_path, HEADER + rows)
    assert rows_of(checked) == kept
    assert checked.report["duplicates"]["dropped"] == checked.rows - 2


def test_repeated_pairs_without_times_keep_the_last_in_the_file(tmp_path):
    checked = check(tmp_path, "user,item,rating\nu1,i1,1\nu2,i2,9\nu1,i1,2\nu1,i1,2\n")
    assert rows_of(checked) == [("u2", "i2", 9.0, None), ("u1", "i1", 2.0, None)]
    assert checked.report["duplicates"] == {
        "dropped": 2, "conflicting": 1, "policy": "the last in the file stands"
    }  # fmt: skip


def test_duplicates_are_those_of_a_slow_count(tmp_path):
    rng = np.random.default_rng(3)
    rows = [
        (f"u{u}", f"i{i}", float(v), int(t))
        for u, i, v, t in zip(*(rng.integers(0, top, 4_000) for top in (30, 40, 5, 50)), strict=True)
    ]
    last: dict[tuple[str, str], int] = {}
    for position, (user, item, _, at) in enumerate(rows):
        if (user, item) not in last or at >= rows[last[user, item]][3]:
            last[user, item] = position
    text = HEADER + "".join(f"{u},{i},{v},{t}\n" for u, i, v, t in rows)
    checked = check(tmp_path, text)
    assert rows_of(checked) == [rows[position] for position in sorted(last.values())]
    conflicts = sum(value != rows[last[user, item]][2] for user, item, value, _ in rows)
    assert checked.report["duplicates"]["dropped"] == len(rows) - len(last)
    assert checked.report["duplicates"]["conflicting"] == conflicts


@pytest.mark.parametrize(
    "when",
    [
        "1700000000", "1700000000000", "1700000000000000", "1700000000.0", "2023-11-14T22:13:20Z",
        "2023-11-14T22:13:20", "2023-11-14 22:13:20", "2023-11-14T23:13:20+01:00", "2023-11-14T22:13:20.75Z",
        "2023-11-14 22:13:20 UTC", "2023/11/14 22:13:20",
    ],
)  # fmt: skip
def test_a_time_means_the_same_however_it_is_written(tmp_path, when):
    checked = check(tmp_path, HEADER + f"u1,i1,3,{when}\nu2,i2,3,{when}\n")
    assert checked.interactions.times.tolist() == [1_700_000_000] * 2
    assert checked.report["period"]["first"] == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("day", ["2024-02-29", "20240229"])
def test_a_day_is_its_first_second(tmp_path, day):
    checked = check(tmp_path, HEADER + f"u1,i1,3,{day}\nu2,i2,3,{day}\n")
    assert checked.interactions.times.tolist() == [1_709_164_800] * 2


def test_one_wrong_date_among_equal_ones_is_found(tmp_path):
    rows = [f"u{k % 3},i{k},3,2024-02-{k % 28 + 1:02}\n" for k in range(50)]
    for wrong in ("2023-02-29", "2024-13-01", "2024-02-00", "2024-02-3x", "202402-010", "1969-12-31"):
        checked = check(tmp_path, HEADER + "".join([*rows, f"u1,i1,3,{wrong}\n"]))
        assert [(p.code, p.line, p.value) for p in checked.problems] == [("bad_timestamp", 52, wrong)]


def test_one_wrong_clock_among_equal_ones_is_found(tmp_path):
    rows = [f"u{k % 3},i{k},3,2024-02-28T{k % 24:02}:59:59Z\n" for k in range(50)]
    for wrong in ("24:00:00Z", "10:60:00Z", "10:00:60Z", "10:00:00X", "1_:00:00Z"):
        checked = check(tmp_path, HEADER + "".join([*rows, f"u1,i1,3,2024-02-28T{wrong}\n"]))
        assert [(p.code, p.line) for p in checked.problems] == [("bad_timestamp", 52)]


def test_a_field_too_many_and_one_too_few_do_not_cancel_out(tmp_path):
    checked = check(tmp_path, HEADER + good_rows(5) + "u1,i9,3,1600000000,x\nu1,i9,3\n" + good_rows(5))
    assert [(problem.code, problem.line) for problem in checked.problems] == [
        ("field_count", 7),
        ("field_count", 8),
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [('u"1"', 'u"1"'), ('12" disc', '12" disc'), ('"u""3"', 'u"3'), ('"u,4"', "u,4"), ('"u5"', "u5")],
)
def test_quotes_mean_something_only_around_a_whole_field(tmp_path, written, read):
    checked = check(tmp_path, HEADER + good_rows(2) + f"{written},i1,3,1600000000\n")
    assert checked.interactions.user_ids.to_list() == ["u0", "u1", read]


def test_lines_are_counted_through_fields_of_several_lines(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.streams.BLOCK_BYTES", 100)
    rows = "".join(f'u{k % 3},i{k},3,1600000000,"a\n\nb"\n' for k in range(50))
    checked = check(tmp_path, "user,item,rating,time,note\n" + rows + "u1,i9,bad,1600000000,c\n")
    assert [(problem.code, problem.line) for problem in checked.problems] == [("not_a_number", 152)]


def test_future_dates_are_a_warning(tmp_path):
    checked = check(tmp_path, HEADER + good_rows(9) + "u1,i99,3,1900000000\n")
    warnings = {warning["code"]: warning["text"] for warning in checked.report["warnings"]}
    assert warnings["future_dates"].startswith("1 interaction")


def test_a_declared_range_is_kept_to(tmp_path):
    rows = HEADER + "u1,i1,0.5,1600000000\nu2,i2,5,1600000000\nu3,i3,5.5,1600000000\nu4,i4,-1,1600000000\n"
    checked = check(tmp_path, rows, limits=Limits(value_min=0.5, value_max=5))
    assert [(problem.code, problem.line) for problem in checked.problems] == [
        ("out_of_range", 4),
        ("out_of_range", 5),
    ]
    assert "0.5 to 5" in checked.problems[0].detail
    assert check(tmp_path, rows).interactions is not None


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("u1,i1\nu1,i2\n", "found 1 user"),
        ("u1,i1\nu2,i1\n", "found 1 item"),
    ],
)
def test_one_user_or_one_item_is_too_few(tmp_path, rows, said):
    refused = refusal_of(tmp_path, "user,item\n" + rows)
    assert refused.code == "too_few"
    assert said in refused.detail


def test_a_header_without_a_role_lists_what_was_found(tmp_path):
    path = write(tmp_path, HEADER + good_rows(5))
    with pytest.raises(
        Exception, match="No column is chosen for item; the file has: user_id, item_id"
    ) as refused:
        check_interactions(path, sniff(path), {"user": 0})
    assert refused.value.code == "missing_role"


@pytest.mark.parametrize("roles", [{"user": 0, "item": 0}, {"user": 0, "item": 9}, {"user": -1, "item": 1}])
def test_roles_that_cannot_be_are_refused(tmp_path, roles):
    path = write(tmp_path, HEADER + good_rows(5))
    with pytest.raises(Exception, match="column of its own"):
        check_interactions(path, sniff(path), roles)


def test_roles_can_be_chosen_by_a_person(tmp_path):
    checked = check(tmp_path, HEADER + good_rows(20), roles={"user": 1, "item": 0})
    assert checked.interactions.user_ids[0] == "i0"
    assert checked.interactions.times is None


def test_two_colons_keep_quotes_and_single_colons(tmp_path):
    checked = check(tmp_path, 'u:1::"i1::4::1600000000\nu2::i2::5::1600000000\n')
    assert rows_of(checked)[0] == ("u:1", '"i1', 4.0, 1_600_000_000)


def test_the_stand_in_for_two_colons_is_refused_in_the_data(tmp_path):
    refused = refusal_of(tmp_path, "u1::i1::4\nu\x1f2::i2::5\n")
    assert (refused.code, refused.line) == ("control_character", 2)


def test_what_is_checked_can_be_saved_and_loaded(tmp_path):
    checked = check(tmp_path, HEADER + good_rows(100))
    checked.interactions.save(tmp_path / "saved")
    loaded = type(checked.interactions).load(tmp_path / "saved")
    assert loaded.user_ids.to_list() == checked.interactions.user_ids.to_list()
    assert np.array_equal(loaded.values, checked.interactions.values)


@pytest.mark.parametrize(
    "text", ["9" * 130_000 + "x", "9" * 130_000, " " * 130_000, "1" + "," * 100 + "9" * 100_000]
)
def test_a_field_made_to_be_slow_is_read_at_once(tmp_path, text):
    row = f'u1,i1,"{text}","{text}"\n'
    began = time.perf_counter()
    checked = check(tmp_path, HEADER + good_rows(3) + row * 4)
    assert checked.problem_count == 8
    assert time.perf_counter() - began < 2
