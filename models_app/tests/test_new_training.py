"""A new training: what may be chosen, what it would cost, and what is refused."""

import pytest
from django.test import Client
from django.urls import reverse

from engine.estimators import ALGORITHMS
from engine.estimators.base import FAMILIES
from engine.parameters import config_fields
from models_app.forms import TrainingForm
from models_app.models import TrainingRun
from models_app.selectors import forecast, plan_training, plans
from models_app.tests.factories import items_csv, make_version, ratings_csv, start_runs
from portal.core.errors import PortalError, Unprocessable

pytestmark = pytest.mark.django_db
NEED_ITEMS = [name for name, each in ALGORITHMS.items() if "items" in each.needs]


@pytest.fixture
def version(shop, analyst):
    return make_version(analyst, shop, items=items_csv(), checked=True)


@pytest.fixture
def bare(shop, analyst):
    """Ratings alone: no item file."""
    return make_version(analyst, shop, checked=True)


@pytest.fixture
def browser(analyst):
    client = Client()
    client.force_login(analyst.user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def sent(version, *algorithms, **changes):
    """What a browser sends when nobody touches the form but these fields."""
    form = TrainingForm(plan_training(version))
    values = {name: form[name].value() for name in form.fields}
    values = {name: value for name, value in values.items() if value is not None and value is not False}
    return {**values, "algorithms": list(algorithms), **changes}


def address(name, version):
    return f"{reverse(name, args=[version.shop.slug])}?data={version.pk}"


def test_items_are_recommended_where_the_data_describes_them(version, bare):
    chosen = {each.name for each in plan_training(version).algorithms if each.is_recommended}
    assert {"item_knn", "als"} <= chosen
    assert chosen == {name for name in plans.RECOMMENDED if name in ALGORITHMS}
    without = {each.name for each in plan_training(bare).algorithms if each.is_recommended}
    assert without == chosen - set(NEED_ITEMS)


def test_what_the_data_lacks_is_said_with_its_remedy(bare):
    for each in plan_training(bare).algorithms:
        if each.name in NEED_ITEMS:
            assert (each.verdict, "item file with titles" in each.reason) == ("not_ready", True)


def test_a_service_refuses_what_the_data_is_not_ready_for_and_names_the_place(analyst, bare):
    with pytest.raises(Unprocessable) as refused:
        start_runs(analyst, bare, "item_knn", NEED_ITEMS[0])
    assert refused.value.code == "algorithm_not_ready"
    assert [error["pointer"] for error in refused.value.errors] == ["/algorithms/1/algorithm"]
    assert not TrainingRun.objects.exists()


def test_the_api_refuses_it_too(api, bare):
    body = {"dataset_version": bare.pk, "model": "main", "algorithms": [{"algorithm": NEED_ITEMS[0]}]}
    answer = api.post("training-runs", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "algorithm_not_ready")
    assert answer.json()["errors"][0]["pointer"] == "/algorithms/0/algorithm"


def test_the_page_refuses_it_above_the_algorithms(browser, bare):
    answer = browser.post(address("run_new", bare), sent(bare, NEED_ITEMS[0]))
    assert answer.status_code == 422
    assert "cannot be trained on" in str(answer.context["form"].errors["algorithms"])
    assert not TrainingRun.objects.exists()


def test_what_is_too_big_names_what_would_fit(version, monkeypatch):
    als = ALGORITHMS["als"]
    counts = version.user_count, version.item_count, version.interaction_count
    least = als.estimate(als.Config(factors=8), *counts).memory_bytes
    monkeypatch.setattr(plans, "available_memory_bytes", lambda: least)
    big = next(each for each in plan_training(version).algorithms if each.name == "als")
    assert big.verdict == "too_big"
    assert "With Factors at" in big.reason
    monkeypatch.setattr(plans, "available_memory_bytes", lambda: 0)
    big = next(each for each in plan_training(version).algorithms if each.name == "als")
    assert big.reason.endswith("are free here.")


def test_a_forecast_follows_the_settings(version):
    small, large = (forecast(version, [("als", {"factors": factors})]) for factors in (16, 256))
    assert small.seconds < large.seconds
    assert small.memory_bytes < large.memory_bytes
    both = forecast(version, [("als", {"factors": 16}), ("item_knn", {})])
    assert both.seconds > small.seconds
    assert both.memory_bytes == max(each.estimate.memory_bytes for each in both.algorithms)


def test_the_api_estimates_and_points_at_what_cannot_be(api, version):
    def ask(**config):
        chosen = [{"algorithm": "item_knn"}, {"algorithm": "als", "config": config}]
        return api.post("training-runs/estimate", {"dataset_version": version.pk, "algorithms": chosen})

    small, large = ask(factors=16).json(), ask(factors=256).json()
    assert small["memory_bytes"] < large["memory_bytes"]
    assert [each["name"] for each in large["algorithms"]] == ["item_knn", "als"]
    assert large["algorithms"][1]["estimate"]["memory_bytes"] == large["memory_bytes"]
    refused = ask(factors=0)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["pointer"] == "/algorithms/1/config/factors"
    assert not TrainingRun.objects.exists()


def test_the_api_describes_every_setting(api):
    for each in api.get("algorithms").json():
        algorithm = ALGORITHMS[each["name"]]
        assert each["family"] == FAMILIES[algorithm.family]
        assert each["needs"] == sorted(algorithm.needs)
        assert [one["name"] for one in each["parameters"]] == [
            one.name for one in config_fields(algorithm.Config)
        ]
        for one in each["parameters"]:
            assert all(one[fact] for fact in ("title", "help")), (each["name"], one["name"])
            if one["kind"] in ("integer", "number"):
                assert one["minimum"] is not None, (each["name"], one["name"])
                assert one["maximum"] is not None, (each["name"], one["name"])
            assert (one["kind"] == "choice") == bool(one["choices"])


def test_the_page_groups_every_algorithm_once_with_its_settings(browser, version):
    page = browser.get(address("run_new", version))
    shelves = page.context["form"].groups()
    assert [each["title"] for each in shelves["open"]] == ["Start here"]
    assert not shelves["is_more_open"]
    groups = [*shelves["open"], *shelves["more"]]
    names = [card["plan"].name for group in groups for card in group["cards"]]
    assert shelves["more_count"] == len(names) - len(groups[0]["cards"])
    assert sorted(names) == sorted(ALGORITHMS)
    text = page.content.decode()
    for name, algorithm in ALGORITHMS.items():
        assert f'id="cost-{name}"' in text
        for parameter in config_fields(algorithm.Config):
            assert f'name="{name}__{parameter.name}"' in text or parameter.kind == "boolean"
    assert "Between 8 and" in text


def test_the_estimate_on_the_page_follows_the_form(browser, version):
    def ask(factors, **headers):
        body = sent(version, "als", als__factors=factors)
        return browser.post(address("run_estimate", version), body, headers=headers)

    small, large = (ask(factors, **{"HX-Request": "true"}) for factors in (16, 256))
    assert small.context["forecast"].memory_bytes < large.context["forecast"].memory_bytes
    assert b'id="cost-als" hx-swap-oob="true"' in small.content
    assert b"<h1>" not in small.content
    wrong = ask(0, **{"HX-Request": "true"})
    assert wrong.status_code == 200
    assert b"one of its settings cannot be used" in wrong.content
    whole = ask(256)
    assert b"<h1>New training</h1>" in whole.content
    assert whole.context["forecast"].memory_bytes == large.context["forecast"].memory_bytes
    assert ask(0).status_code == 422
    assert not TrainingRun.objects.exists()


def test_a_refusal_lands_on_the_setting_of_its_algorithm(version):
    form = TrainingForm(plan_training(version), sent(version, "item_knn", "als"))
    assert form.is_valid()
    places = ["/algorithms/1/config/factors", "/split/method", "/model", "/algorithms/7/algorithm"]
    errors = [{"pointer": place, "detail": place} for place in places]
    form.add_problems(PortalError("no", errors=errors))
    assert set(form.errors) == {"als__factors", "split__method", "model_name", "algorithms"}
    form = TrainingForm(plan_training(version), sent(version, "als"))
    form.add_problems(PortalError("Something else."))
    assert form.non_field_errors() == ["Something else."]


def test_a_version_that_is_not_ready_cannot_be_estimated(browser, shop, analyst):
    waiting = make_version(analyst, shop, ratings_csv())
    assert browser.post(address("run_estimate", waiting), {}).status_code == 409
