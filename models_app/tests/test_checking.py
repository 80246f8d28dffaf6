"""What a worker makes of an uploaded file."""

import gzip

import pytest

from models_app.snapshots import load_snapshot
from models_app.tests.factories import items_csv, make_version, ratings_csv
from portal.core.models import Event

pytestmark = pytest.mark.django_db


def test_a_good_file_becomes_an_immutable_version_with_its_facts(shop, analyst):
    version = make_version(analyst, shop, items=items_csv(42), checked=True)
    assert (version.status, version.error) == ("ready", None)
    assert (version.user_count, version.item_count, version.interaction_count) == (60, 40, 720)
    assert version.density == pytest.approx(720 / 2400)
    assert version.first_at < version.last_at
    assert version.report["items_file"]["described"] == 40
    assert version.report["items_file"]["not_chosen"] == 2
    kept = load_snapshot(version.interactions_digest)
    assert len(kept.interactions) == 720
    assert kept.interactions.item_ids.to_list()[40:] == ["i40", "i41"]
    facts = kept.item_facts()
    assert facts.title(kept.interactions.item_ids.positions["i7"]) == "Product number 7"
    assert (version.owner, version.lease_until, version.due_at) == ("", None, None)
    verbs = Event.objects.filter(object_id=version.pk).order_by("created_at").values_list("verb", flat=True)
    assert list(verbs) == [
        "datasetversion.started",
        "datasetversion.file_received",
        "datasetversion.file_received",
        "datasetversion.checking",
        "datasetversion.ready",
    ]


def test_a_gzip_file_is_read_as_it_is(shop, analyst):
    version = make_version(analyst, shop, gzip.compress(ratings_csv()), checked=True)
    assert version.status == "ready"
    assert version.file_format["compression"] == "gzip"


def test_a_bad_line_is_named_exactly(shop, analyst):
    lines = ratings_csv().splitlines()
    lines[17] = b"u3,i4,five,1700000000"
    version = make_version(analyst, shop, b"\n".join(lines), checked=True)
    assert version.status == "failed"
    assert version.problem_count == 1
    assert version.problems[0]["line"] == 18
    assert version.problems[0]["column"] == "rating"
    assert version.problems[0]["value"] == "five"
    assert "line 18" in version.error["detail"]
    assert version.interactions_digest == ""
