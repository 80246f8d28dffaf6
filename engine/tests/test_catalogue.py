"""An item file: titles, categories, prices and sellers by id."""

import math

import pytest

from engine.catalogue import Catalogue, check_items
from engine.interactions import IdTable
from engine.refusals import FileRefused
from engine.sniffing import sniff
from engine.tests.sample_files import write

HEADER = "id,title,category,price\n"


def check(folder, content, **options):
    path = write(folder, content, "items.csv")
    return check_items(path, sniff(path), **options)


def rows_of(catalogue):
    return list(
        zip(
            catalogue.ids.to_list(),
            catalogue.titles.to_list(),
            catalogue.categories.to_list(),
            catalogue.prices.tolist(),
            strict=True,
        )
    )


def test_items_are_read_and_survive_saving(tmp_path):
    text = HEADER + '007,"Chair, ""red""",Home,12.5\n7,Sofà,Home|Living,0\n8,"two\nlines",,1e2\n'
    catalogue = check(tmp_path, text).catalogue
    assert rows_of(catalogue) == [
        ("007", 'Chair, "red"', "Home", 12.5),
        ("7", "Sofà", "Home|Living", 0.0),
        ("8", "two lines", "", 100.0),
    ]
    catalogue.save(tmp_path / "saved")
    assert rows_of(Catalogue.load(tmp_path / "saved")) == rows_of(catalogue)


def test_a_catalogue_of_ids_alone_survives_saving(tmp_path):
    path = write(tmp_path, "id,title\n1,\n2,\n")
    catalogue = check_items(path, sniff(path), {"item": 0}).catalogue
    catalogue.save(tmp_path / "saved")
    loaded = Catalogue.load(tmp_path / "saved")
    assert loaded.ids.to_list() == ["1", "2"]
    assert loaded.titles.to_list() == loaded.categories.to_list() == ["", ""]


def test_sellers_are_kept_and_given_in_the_order_of_the_interactions(tmp_path):
    text = "id,title,seller\n1,Chair,Ann\n2,Desk,\n3,Lamp,  Bob  \n"
    catalogue = check(tmp_path, text).catalogue
    assert check(tmp_path, text).report["with_seller"] == 2
    catalogue.save(tmp_path / "saved")
    facts = Catalogue.load(tmp_path / "saved").facts_of(IdTable.of(["3", "nowhere", "2", "1"]))
    assert [facts.seller(at) for at in range(4)] == ["Bob", None, None, "Ann"]
    assert (facts.title(0), facts.title(1), facts.price(0)) == ("Lamp", "", None)


def test_a_file_without_sellers_is_kept_as_it_always_was(tmp_path):
    check(tmp_path, HEADER + "1,Chair,Home,1\n").catalogue.save(tmp_path / "saved")
    assert not list((tmp_path / "saved").glob("sellers*"))
    facts = Catalogue.load(tmp_path / "saved").facts_of(IdTable.of(["1"]))
    assert (facts.sellers, facts.seller(0), facts.category(0)) == (None, None, "Home")


def test_a_missing_price_is_not_zero(tmp_path):
    checked = check(tmp_path, HEADER + "1,Chair,Home,\n2,Desk,Home,0\n")
    assert math.isnan(checked.catalogue.prices[0])
    assert checked.catalogue.prices[1] == 0
    assert checked.report["items"] == 2
    assert checked.report["with_title"] == 2
    assert checked.report["with_price"] == 1


def test_of_rows_with_the_same_id_the_last_stands(tmp_path):
    checked = check(tmp_path, HEADER + "1,Old,Home,1\n2,Desk,Home,2\n1,New,Home,3\n")
    assert rows_of(checked.catalogue) == [("1", "New", "Home", 3.0), ("2", "Desk", "Home", 2.0)]
    assert checked.duplicates == 1


@pytest.mark.parametrize(
    ("row", "code", "column", "said"),
    [
        (",Chair,Home,1", "empty_id", "id", "is empty"),
        ("x" * 300 + ",Chair,Home,1", "long_id", "id", "256 bytes"),
        ("9,Chair,Home,-1", "negative_price", "price", "is negative"),
        ("9,Chair,Home,nan", "not_finite", "price", "not a finite number"),
        ("9,Chair,Home,€ 5", "not_a_number", "price", "is not a number"),
        ('9,Chair,Home,"12,50"', "decimal_comma", "price", "decimal comma"),
        ("9,Ch\x07air,Home,1", "control_character", "title", "control character"),
        ("9," + "t" * 1001 + ",Home,1", "long_text", "title", "1,000 bytes"),
        ("9,Chair,Home", "field_count", None, "3 fields, the header has 4"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_loaded(tmp_path, row, code, column, said):
    checked = check(tmp_path, HEADER + '1,"Sofa, red",Home,2\n' + row + "\n2,Desk,Home,1\n")
    assert checked.catalogue is None
    assert [(p.code, p.line, p.column) for p in checked.problems] == [(code, 3, column)]
    assert said in checked.problems[0].detail
    kept = check(tmp_path, HEADER + "1,Sofa,Home,2\n" + row + "\n2,Desk,Home,1\n", leave_out_bad_rows=True)
    assert kept.catalogue.ids.to_list() == ["1", "2"]
    assert kept.left_out == 1


def test_a_file_without_an_id_column_is_refused(tmp_path):
    path = write(tmp_path, HEADER + "1,Chair,Home,1\n")
    with pytest.raises(FileRefused, match="No column is chosen for item"):
        check_items(path, sniff(path), {"title": 1})
