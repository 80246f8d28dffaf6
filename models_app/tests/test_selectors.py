"""Comparisons, previews, plans and cards: what pages and promotion requests are made from."""

import json
import re

import numpy as np
import pytest
from django.db import ProgrammingError, transaction
from django.urls import reverse

from engine.estimators.base import Estimate, Explanation
from engine.estimators.pure_svd import PureSVD
from models_app import selectors
from models_app.models import DatasetVersion, ModelVersion, TrainingRun
from models_app.selectors import plans, previews, reasons
from models_app.selectors.gaps import compare_gaps, exposures_of
from models_app.selectors.previews import open_artifact
from models_app.selectors.segments import compare_segments, segment_groups
from models_app.services.pacing import Pace
from models_app.snapshots import load_snapshot
from models_app.tests.factories import items_csv, make_version, ratings_csv, start_runs, train
from portal.core.testing import make_actor, make_shop

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def trained(django_db_setup, django_db_blocker):
    """A shop with runs that are trained once, in a transaction around every test's own."""
    with django_db_blocker.unblock(), transaction.atomic():
        shop = make_shop()
        analyst = make_actor(shop, "analyst", "Ana")
        version = make_version(analyst, shop, items=items_csv(), checked=True)
        runs = start_runs(analyst, version, "item_knn", "als")
        train(*runs)
        yield runs
        transaction.set_rollback(True)


@pytest.fixture
def runs(trained):
    return [TrainingRun.objects.get(pk=run.pk) for run in trained]


@pytest.fixture
def version(runs):
    return runs[0].dataset_version


@pytest.fixture
def shop(runs):
    return runs[0].shop


@pytest.fixture
def analyst(shop):
    return make_actor(shop, "analyst", "Ana")


def test_a_comparison_marks_the_best_and_what_chance_explains(runs):
    compared = selectors.compare_runs(runs)
    assert compared.why_not == ""
    ndcg = next(row for row in compared.metrics if row.name == "ndcg@10")
    assert [row.name for row in compared.metrics[:3]] == ["ndcg@5", "ndcg@10", "ndcg@20"]
    best = max(ndcg.cells, key=lambda cell: cell.value)
    assert [cell.is_best for cell in ndcg.cells] == [cell is best for cell in ndcg.cells]
    assert best.is_like_best is None
    assert ndcg.cells[0].is_like_best is False  # popularity is behind by more than chance
    coverage = next(row for row in compared.metrics if row.name == "coverage@10")
    assert all(cell.low is None and cell.is_like_best is None for cell in coverage.cells)


def test_a_comparison_lists_what_differs_and_nothing_else(runs):
    named = {row.name: row.values for row in selectors.compare_runs(runs[1:]).differences}
    assert named["Algorithm"] == ["Item neighbours", "ALS (matrix factorization)"]
    assert named["ALS (matrix factorization): Factors"] == ["–", "8"]
    assert not {"Data", "File", "Seed"} & set(named)


def test_runs_on_other_data_are_shown_side_by_side_but_not_judged(shop, analyst, runs):
    other = start_runs(analyst, make_version(analyst, shop, ratings_csv(seed=4), checked=True))
    train(*other)
    compared = selectors.compare_runs([runs[1], other[1]])
    assert compared.why_not.startswith("Not comparable: other data")
    cells = [cell for row in compared.metrics for cell in row.cells if cell]  # not each run has every metric
    assert all(cell.is_like_best is None for cell in cells)
    assert {"Data", "File"} <= {row.name for row in compared.differences}


def test_versions_are_compared_when_they_were_tested_alike_and_else_told_why_not(analyst, version, runs):
    knn, als = (run.model_version for run in runs[1:])
    answer = selectors.compare_versions(knn, als)
    assert answer.comparison.n_users == runs[1].metrics["ndcg@10"]["n"]
    assert answer.comparison.difference == pytest.approx(
        runs[1].metrics["ndcg@10"]["value"] - runs[2].metrics["ndcg@10"]["value"], abs=1e-6
    )
    again = start_runs(analyst, version, seed=7)
    train(*again)
    answer = selectors.compare_versions(knn, again[1].model_version)
    assert (answer.comparison, answer.why_not[:25]) == (None, "Not comparable: the runs ")


def test_segments_stand_side_by_side_and_runs_without_them_show_none(runs):
    rows = selectors.compare_runs(runs).segments
    light = next(row for row in rows if row.name == "light")
    assert [row.kind for row in rows[:5]] == ["shoppers"] * 3 + ["items"] * 2
    values = [cell.metrics["ndcg@10"]["value"] for cell in light.cells]
    assert ["ndcg@10" in cell.best_in for cell in light.cells] == [each == max(values) for each in values]
    assert values[1] == pytest.approx(runs[1].metrics["ndcg@10"]["value"])  # all of them are light
    assert light.n == runs[1].metrics["ndcg@10"]["n"]
    heavy = next(row for row in rows if row.name == "heavy")
    assert {(cell.n, cell.note, *cell.best_in) for cell in heavy.cells} == {
        (0, "Too few shoppers: 0, 30 are needed.")
    }
    assert [(group.kind, len(group.rows)) for group in segment_groups(rows)] == [
        ("shoppers", 3), ("items", 2), ("category", 2),
    ]  # fmt: skip
    runs[1].segments = []  # as a run of an earlier program has it
    light = next(row for row in compare_segments(runs) if row.name == "light")
    assert (light.cells[1], light.n) == (None, light.cells[0].n)
    assert segment_groups(compare_segments([runs[1]])) == []
    runs[0].segments[1]["n"] = 7
    assert compare_segments(runs)[1].n is None


def addresses_of(shop, runs):
    """Name the pages of one run, of its version and of all runs side by side."""
    return [
        reverse("run_detail", args=[shop.slug, runs[1].pk]),
        reverse("version_detail", args=[shop.slug, runs[1].model_version.pk]),
        reverse("compare", args=[shop.slug]) + f"?group={runs[0].group}",
    ]


def test_pages_of_runs_and_comparisons_tell_by_segment_where_it_was_measured(client, analyst, shop, runs):
    client.force_login(analyst.user, backend="django.contrib.auth.backends.ModelBackend")
    addresses = addresses_of(shop, runs)
    for address in addresses:
        page = client.get(address).content.decode()
        assert "For whom, and for what" in page
        assert "Light shoppers (5 to 19 choices)" in page
        assert "too few shoppers" in page
    assert "| Light shoppers (5 to 19 choices) | 60 | " in runs[1].model_version.card
    assert "| too few shoppers | too few shoppers |" in runs[1].model_version.card
    TrainingRun.objects.update(segments=[])
    for address in addresses:
        assert "For whom, and for what" not in client.get(address).content.decode()


def test_gaps_stand_side_by_side_and_runs_without_them_show_none(runs):
    rows = {row.kind: row for row in selectors.compare_runs(runs).gaps}
    assert set(rows) == {"shoppers", "sellers", "categories"}
    assert [cell.note for cell in rows["shoppers"].cells] == ["too few shoppers"] * 3  # all of them are light
    sellers = [run.gaps["sellers"] for run in runs]
    assert [cell.value for cell in rows["sellers"].cells] == [each["gap"] for each in sellers]
    assert {each["label"] for each in sellers[0]["labels"]} == {"seller0", "seller1", "seller2"}
    assert re.fullmatch(r"seller\d is shown (more|less) than it offers", rows["sellers"].cells[0].note)
    runs[1].gaps = {}  # as a run of an earlier program has it
    assert compare_gaps(runs)[1].cells[1] is None
    assert (compare_gaps([runs[1]]), exposures_of(runs[1])) == ([], [])
    served = {"value": 0.1, "low": 0.05, "high": 0.15}
    runs[1].gaps = {
        "metric": "ndcg@10", "sellers": None, "categories": None,
        "shoppers": {"gap": served, "best": "heavy", "worst": "new", "groups": {}},
    }  # fmt: skip
    (row,) = compare_gaps([runs[1]])
    assert (row.cells[0].low, row.cells[0].note) == (0.05, "best: heavy, worst: new")


def test_pages_and_the_card_tell_who_gets_less_where_it_was_measured(client, analyst, shop, runs):
    client.force_login(analyst.user, backend="django.contrib.auth.backends.ModelBackend")
    addresses = addresses_of(shop, runs)
    for address in addresses:
        page = client.get(address).content.decode()
        assert "Who gets less" in page
        assert "Between sellers" in page
    assert "By seller (3)" in client.get(addresses[0]).content.decode()
    card = runs[1].model_version.card
    assert "- Between groups of shoppers: not measured, too few test shoppers" in card
    assert "of the exposure would have to move until each of the 3 is shown" in card
    TrainingRun.objects.update(gaps={})
    for address in addresses:
        assert "Who gets less" not in client.get(address).content.decode()


def test_an_unfinished_run_is_not_comparable(analyst, version, runs):
    queued = start_runs(analyst, version)[1]
    assert "it is queued" in selectors.why_not_comparable([runs[1], queued])


def test_a_preview_shows_history_and_new_items_with_titles(runs):
    shown = selectors.preview(runs[1].model_version, "u4", 5)
    assert shown.is_known
    assert shown.history_size == len(shown.history) == 12
    assert [line.rank for line in shown.items] == [1, 2, 3, 4, 5]
    assert not {line.item_id for line in shown.items} & {line.item_id for line in shown.history}
    # u4 likes the first half of the catalogue, and most of the list comes from there.
    assert sum(line.category == "first" for line in shown.items) >= 4
    assert shown.items[0].score >= shown.items[-1].score
    assert shown.items[0].price == float(shown.items[0].item_id[1:]) + 0.5


def test_a_stranger_sees_best_sellers_and_an_odd_id_is_no_mistake(runs):
    for user in ("nobody", "", "\0", "ü" * 300):
        shown = selectors.preview(runs[1].model_version, user, 3)
        assert (shown.is_known, shown.history, len(shown.items)) == (False, [], 3)


def test_each_item_names_what_in_the_history_speaks_for_it(runs):
    for run in runs[1:]:
        shown = selectors.preview(run.model_version, "u4", 5, explain=True)
        owned = {line.item_id: line.title for line in shown.history}
        assert len(shown.items) == 5
        for line in shown.items:
            parts = [each.contribution for each in line.contributions]
            assert parts == sorted(parts, reverse=True)
            assert all(owned[each.item_id] == each.title for each in line.contributions)
            *first, last = (each.title for each in line.contributions)
            assert len(first) == 2
            assert line.reason == f"Because of {', '.join(first)} and {last}"
    plain = selectors.preview(runs[1].model_version, "u4", 5).items[0]
    assert (plain.reason, plain.contributions) == (None, [])


def test_a_page_gives_the_reasons_of_a_long_history_on_request(client, analyst, shop, runs, monkeypatch):
    monkeypatch.setattr(previews, "LONG", 11)  # u4 has 12
    client.force_login(analyst.user, backend="django.contrib.auth.backends.ModelBackend")
    for address in (
        reverse("version_detail", args=[shop.slug, runs[1].model_version.pk]) + "?user=u4",
        reverse("compare", args=[shop.slug]) + f"?group={runs[0].group}&user=u4",
    ):
        page, asked = (client.get(each).content.decode() for each in (address, address + "&why=1"))
        assert "Say why each is there" in page
        assert 'class="why"' not in page
        assert "Say why each is there" not in asked
        assert 'class="why">Because of Product number' in asked


def test_what_speaks_against_an_item_is_no_cause_and_a_note_stands_for_none(analyst, version, monkeypatch):
    runs = start_runs(analyst, version, "popularity", "pure_svd")
    train(*runs)
    popularity, svd = (run.model_version for run in runs[1:])
    for user, words in (("u4", "own history has no part"), ("nobody", "nothing is known of this shopper")):
        for line in selectors.preview(popularity, user, 3, explain=True).items:
            assert line.reason.startswith("Popular with everyone (")
            assert words in line.reason
            assert line.contributions == []
    against = Explanation(-1.0, np.array([0], np.int32), np.array([-1.0], np.float32))
    monkeypatch.setattr(PureSVD, "explain", lambda *_: against)
    line = selectors.preview(svd, "u4", 1, explain=True).items[0]
    assert (line.reason, line.contributions) == (reasons.NO_CAUSE, [])


def test_reasons_rest_on_the_values_that_the_model_was_fitted_on(analyst, version, monkeypatch):
    runs = start_runs(analyst, version, "biased_mf")
    train(*runs)
    made = runs[1].model_version
    artifact = open_artifact(made)
    at = artifact.user_ids.positions["u4"]
    row = load_snapshot(version.interactions_digest).interactions.matrix()[at]
    for line in selectors.preview(made, "u4", 5, explain=True).items:
        expected = artifact.estimator.explain(row, artifact.item_ids.positions[line.item_id], 3)
        assert [each.contribution for each in line.contributions] == expected.contributions.tolist()
        assert [each.item_id for each in line.contributions] == [
            artifact.item_ids[each] for each in expected.items.tolist()
        ]
    monkeypatch.setattr(reasons, "load_history", lambda *_: None)  # the data is gone: choices without stars
    assert all(line.reason for line in selectors.preview(made, "u4", 5, explain=True).items)


def test_without_an_item_file_ids_stand_for_titles(shop, analyst):
    runs = start_runs(analyst, make_version(analyst, shop, checked=True))
    train(*runs)
    line = selectors.preview(runs[1].model_version, "u1", 1).items[0]
    assert (line.title, line.category, line.price) == (line.item_id, None, None)


def test_a_list_longer_than_the_catalogue_is_no_mistake(runs):
    assert len(selectors.preview(runs[1].model_version, "u1", 1000).items) <= 28


def test_lists_of_one_version_overlap_wholly_and_of_two_in_part(runs):
    knn, als = (run.model_version for run in runs[1:])
    users = selectors.sample_users(knn, 6)
    assert len(set(users)) == len(users) == 6
    assert users == selectors.sample_users(knn, 6)
    assert selectors.list_overlap(knn, knn, users).mean == 1
    part = selectors.list_overlap(knn, als, [*users, "nobody"])
    assert (part.n, set(part.by_user)) == (6, set(users))
    assert 0 < part.mean < 1
    assert selectors.list_overlap(knn, als, ["nobody"]).mean is None


def test_overlap_knows_items_by_id_not_by_place(shop, analyst, runs):
    backwards = ratings_csv().splitlines()
    turned = b"\n".join([backwards[0], *reversed(backwards[1:])]) + b"\n"
    others = start_runs(analyst, make_version(analyst, shop, turned, checked=True), "popularity")
    train(*others)
    popular = start_runs(analyst, runs[0].dataset_version, "popularity")
    train(*popular)
    users = selectors.sample_users(popular[1].model_version, 10)
    overlap = selectors.list_overlap(popular[1].model_version, others[1].model_version, users, 5)
    assert overlap.mean > 0.7  # ties aside, best sellers are best sellers in any order of the file


def test_a_plan_says_what_each_algorithm_costs_and_whether_the_data_is_enough(version, monkeypatch):
    plan = selectors.plan_training(version)
    assert plan.split["method"] == "leave_last"
    assert "fewer than 200" in plan.split_why
    assert all(each.estimate.memory_bytes > 0 and each.parameters for each in plan.algorithms)
    als = next(each for each in plan.algorithms if each.name == "als")
    assert (als.verdict, als.is_recommended) == ("weak", True)
    monkeypatch.setattr(plans, "available_memory_bytes", lambda: 1000)
    als = next(each for each in selectors.plan_training(version).algorithms if each.name == "als")
    assert (als.verdict, als.is_recommended) == ("too_big", False)
    assert isinstance(als.estimate, Estimate)


def test_a_card_has_front_matter_that_tools_read_and_no_markup_of_others(shop, analyst, version):
    DatasetVersion.objects.filter(pk=version.pk).update(file_name="x")
    version.dataset.name = "<img src=x onerror=alert(1)> `*_[a](b)"
    version.dataset.save(update_fields=["name"])
    version.refresh_from_db()
    runs = start_runs(analyst, version)
    train(*runs)
    card = runs[1].model_version.card
    _, front, body = card.split("---\n", 2)
    fields = {
        name: json.loads(value) for name, _, value in (line.partition(": ") for line in front.splitlines())
    }
    assert {"license", "library_name", "tags", "datasets", "metrics", "model-index"} == set(fields)
    assert fields["model-index"][0]["results"][0]["metrics"][0]["value"] >= 0
    assert "<img" not in body
    for section in (
        "Intended use",
        "Data",
        "Evaluation",
        "Limits",
        "Fairness",
        "Cost",
        "Lineage",
        "Contacts",
    ):
        assert f"\n## {section}\n" in body


def test_the_time_left_follows_the_speed_of_late():
    now = [0.0]
    pace = Pace(clock=lambda: now[0])
    assert pace.eta_s(0, 100) is None
    now[0] = 1.0
    assert pace.eta_s(10, 100) == pytest.approx(9)
    now[0] = 2.0
    assert pace.eta_s(40, 100) == pytest.approx(60 / (0.3 * 30 + 0.7 * 10))
    assert pace.eta_s(100, 100) == 0
    assert pace.eta_s(50, None) is None


def test_a_version_is_written_once(runs):
    made = runs[1].model_version
    with pytest.raises(ProgrammingError, match="written once"), transaction.atomic():
        ModelVersion.objects.filter(pk=made.pk).update(number=9)
    assert TrainingRun.objects.filter(model_version=made).count() == 1


def test_metrics_are_read_in_groups_the_main_ones_first(runs):
    groups = selectors.metric_groups([*runs[1].metrics, "rmse", "mae", "of tomorrow"])
    assert [each.title for each in groups] == [
        "The main ones",
        "Ranking at every depth",
        "Beyond accuracy",
        "Predicted values",
    ]
    names = [[each.name for each in group.metrics] for group in groups]
    assert names[0][0] == "ndcg@10"
    assert {*names[1], *names[2], *names[3]} == {*runs[1].metrics, "rmse", "mae", "of tomorrow"}
    assert names[3] == ["rmse", "mae"]
    assert all(each.says for each in groups[0].metrics)
    assert [each.title for each in selectors.metric_groups(["ndcg@10"])][:1] == ["The main ones"]
