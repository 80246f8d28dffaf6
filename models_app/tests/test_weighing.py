"""Events that count by their kind and age: offered where the data has them, trained with, written down."""

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from engine.artifacts import load_artifact
from models_app import selectors
from models_app.forms import TrainingForm
from models_app.models import TrainingRun
from models_app.selectors import plan_training
from models_app.services.registry import artifact_folder
from models_app.tests.factories import make_version, ratings_csv, start_runs, train
from portal.core.errors import InvalidInput

pytestmark = pytest.mark.django_db
WEIGHTS = {"view": 1.0, "purchase": 5.0, "removal": 0.0}


def events_csv() -> bytes:
    """The same choices, each seen first; some are bought later, one shopper only takes things back."""
    lines = ["user_id,item_id,event_type,timestamp"]
    for at, line in enumerate(ratings_csv().decode().splitlines()[1:]):
        user, item, _, time = line.split(",")
        lines.append(f"{user},{item},view,{time}")
        lines += [f"{user},{item},Purchase,{int(time) + 5}"] if at % 3 == 0 else []
    lines += [f"u-back,i{item},removal,1700000000" for item in range(3)]
    return "\n".join(lines).encode() + b"\n"


@pytest.fixture
def version(shop, analyst):
    return make_version(analyst, shop, events_csv(), checked=True)


@pytest.fixture
def browser(analyst):
    client = Client()
    client.force_login(analyst.user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_a_run_trains_on_what_its_events_weigh_and_says_so(browser, shop, analyst, version):
    runs = start_runs(analyst, version, "item_knn", "bpr", event_weights=WEIGHTS, half_life_days=90)
    assert [run.config.get("values") for run in runs] == [None, "confidence", "confidence"]
    train(runs[0], runs[1])
    run = TrainingRun.objects.get(pk=runs[1].pk)
    assert run.status == "succeeded", run.error
    assert run.weighing == {"by_type": WEIGHTS, "half_life_days": 90.0}
    assert "Weighing the rows: purchase 5, view 1, removal 0; half every 90 days" in run.log
    made = run.model_version
    assert made.lineage["weighing"] == run.weighing
    assert "- What a row counts: purchase 5, view 1, removal 0; half every 90 days" in made.card
    kept = load_artifact(artifact_folder(made))
    back = kept.user_ids.positions["u-back"]
    assert kept.seen[back].nnz == 0  # what was only taken back is no choice
    assert len(np.unique(kept.seen.data)) > 10
    assert kept.seen.data.max() > 4 * kept.seen.data.min()
    page = browser.get(reverse("run_detail", args=[shop.slug, run.pk])).content.decode()
    assert "<dt>What a row counts</dt><dd>purchase 5, view 1, removal 0; half every 90 days</dd>" in page


def test_runs_that_leave_out_other_kinds_are_not_paired_and_others_are(analyst, version):
    plain, aged = (start_runs(analyst, version, half_life_days=days)[1] for days in (None, 30))
    weighed = start_runs(analyst, version, event_weights=WEIGHTS)[1]
    train(plain, aged, weighed)
    plain, aged, weighed = (TrainingRun.objects.get(pk=run.pk) for run in (plain, aged, weighed))
    assert selectors.why_not_comparable([plain, aged]) == ""
    compared = selectors.compare_runs([plain, aged])
    rows = {row.name: row.values for row in compared.differences}
    assert rows["What a row counts"] == ["its value, once a pair", "half every 30 days"]
    assert "leave out other kinds of events" in selectors.why_not_comparable([plain, weighed])


@pytest.mark.parametrize(
    ("asked", "pointer", "said"),
    [
        ({"event_weights": {"view": 1, "removal": 0}}, "/event_weights", "“purchase” has no weight"),
        ({"event_weights": {**WEIGHTS, "share": 1}}, "/event_weights", "“share” is no event type"),
        ({"event_weights": {**WEIGHTS, "view": -1}}, "/event_weights", "a number from 0 to 1,000"),
        ({"event_weights": {**WEIGHTS, "view": float("nan")}}, "/event_weights", "a number from 0"),
        ({"event_weights": dict.fromkeys(WEIGHTS, 0)}, "/event_weights", "a weight above 0"),
        ({"half_life_days": 0}, "/half_life_days", "from 0.1 to 36,500"),
        ({"half_life_days": float("nan")}, "/half_life_days", "from 0.1 to 36,500"),
    ],
)
def test_weights_that_do_not_fit_the_data_are_refused(analyst, version, asked, pointer, said):
    with pytest.raises(InvalidInput) as refused:
        start_runs(analyst, version, **asked)
    assert refused.value.errors[0]["pointer"] == pointer
    assert said in refused.value.detail
    assert not TrainingRun.objects.exists()


def test_data_without_event_types_or_times_has_nothing_to_weigh(browser, shop, analyst):
    bare = make_version(
        analyst, shop, b"\n".join(line[: line.rindex(b",")] for line in ratings_csv().split()), checked=True
    )
    plan = plan_training(bare)
    assert (plan.event_types, plan.has_times) == ([], False)
    page = browser.get(reverse("run_new", args=[shop.slug]) + f"?data={bare.pk}").content.decode()
    assert "What a row counts" not in page
    for asked in ({"event_weights": WEIGHTS}, {"half_life_days": 9}):
        with pytest.raises(InvalidInput):
            start_runs(analyst, bare, **asked)


def sent(version, **changes):
    form = TrainingForm(plan_training(version))
    values = {name: form[name].value() for name in form.fields}
    values = {name: value for name, value in values.items() if value is not None and value is not False}
    return {**values, "algorithms": ["als"], "als__factors": 8, **changes}


def test_the_page_proposes_weights_and_uses_them_only_when_asked(browser, shop, version):
    address = reverse("run_new", args=[shop.slug]) + f"?data={version.pk}"
    page = browser.get(address).content.decode()
    assert "Weigh kinds of events" in page
    assert plan_training(version).event_types[0].name == "view"
    assert browser.post(address, sent(version)).status_code == 302
    als = TrainingRun.objects.get(algorithm="als")
    assert (als.weighing, als.config["values"]) == ({}, "ignore")
    als.delete()
    changes = {"weighs_events": "on", "event_weight__0": "0.5", "half_life_days": "30"}
    assert browser.post(address, sent(version, **changes)).status_code == 302
    als = TrainingRun.objects.get(algorithm="als")
    assert als.weighing == {"by_type": {**WEIGHTS, "view": 0.5}, "half_life_days": 30}
    assert als.config["values"] == "confidence"
    TrainingRun.objects.all().delete()
    refused = browser.post(address, sent(version, weighs_events="on", event_weight__1=""))
    assert refused.status_code == 422
    assert "0 leaves its rows out" in str(refused.context["form"].errors["event_weight__1"])
    zeros = {f"event_weight__{at}": "0" for at in range(3)}
    refused = browser.post(address, sent(version, weighs_events="on", **zeros))
    assert "a weight above 0" in str(refused.context["form"].errors["weighs_events"])
    assert not TrainingRun.objects.exists()


def test_the_api_offers_takes_and_gives_the_weights(api, version):
    plan = api.get(f"dataset-versions/{version.pk}/plan").json()
    assert {each["name"]: each["suggested_weight"] for each in plan["event_types"]} == WEIGHTS
    assert plan["has_times"] is True
    body = {
        "dataset_version": version.pk, "model": "main", "event_weights": WEIGHTS, "half_life_days": 90,
        "algorithms": [{"algorithm": "item_knn"}, {"algorithm": "als", "config": {"values": "ignore"}}],
    }  # fmt: skip
    answer = api.post("training-runs", body)
    assert answer.status_code == 202, answer.content
    runs = answer.json()["runs"]
    assert [run["config"].get("values") for run in runs] == [None, "confidence", "ignore"]
    assert runs[1]["weighing"] == {"by_type": WEIGHTS, "half_life_days": 90}
    refused = api.post("training-runs", {**body, "event_weights": {"view": 1}})
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["pointer"] == "/event_weights"
