"""A dataset version of the ratings that a shop sent one by one."""

import csv
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from models_app.models import DatasetVersion
from models_app.services.checking import check_version
from models_app.services.datasets import cancel_version, retry_version
from models_app.services.received import find_or_create_own, start_from_ratings, write_down
from models_app.snapshots import load_snapshot
from models_app.tests.factories import items_csv, make_version
from monitoring_app.services.ratings import keep_ratings, take_rating_back
from portal.core.errors import Conflict, NotPermitted
from portal.core.jobs import leased
from portal.core.models import Event
from portal.core.storage import blob_path
from portal.core.testing import make_actor, make_shop

pytestmark = pytest.mark.django_db

ODD = ('007, "the; spy"', "i 1; 2")


@pytest.fixture
def shop(monkeypatch):
    monkeypatch.setattr("portal.core.dispatch.enqueue", lambda model, pk: False)
    return make_shop()


@pytest.fixture
def analyst(shop):
    return make_actor(shop, "analyst", "Ana")


def send(shop, count=120, value=4.5, ago=timedelta(hours=1)):
    at = timezone.now() - ago
    pairs = [(f"u{n % 30}", f"i{n // 30}") for n in range(count)]
    keep_ratings(shop, [(user, item, value, at) for user, item in [*pairs, ODD]])


def checked(version):
    check_version(version.pk)
    version.refresh_from_db()
    return version


def test_all_ratings_of_the_moment_become_an_immutable_version(shop, analyst):
    send(shop)
    send(make_shop(), 7)
    before = make_version(analyst, shop, items=items_csv(), checked=True)
    version = checked(start_from_ratings(analyst, before.dataset))
    assert (version.status, version.error) == ("ready", None)
    assert (version.number, version.interaction_count, version.user_count) == (2, 121, 31)
    assert version.items_sha256 == before.items_sha256
    kept = load_snapshot(version.interactions_digest).interactions
    assert ODD[0] in kept.user_ids.positions
    assert ODD[1] in kept.item_ids.positions
    assert set(kept.values.tolist()) == {4.5}
    assert version.first_at.timestamp() == pytest.approx(timezone.now().timestamp() - 3600, abs=60)
    until = f"{version.ratings_until:%Y-%m-%d %H:%M:%S} UTC"
    received = Event.objects.get(object_id=version.pk, verb="datasetversion.file_received")
    assert received.reason == f"ratings received until {until}"
    assert version.file_name == f"ratings until {until.replace(':', '.')}.csv"
    with blob_path(version.file_sha256).open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["user_id", "item_id", "rating", "timestamp"]
    assert rows[1:] == sorted(rows[1:], key=lambda row: row[:2])
    assert len(rows) == 122
    # What comes later changes the next version, and only that; the same ratings are the same file.
    again = checked(start_from_ratings(analyst, before.dataset))
    assert again.file_sha256 == version.file_sha256
    send(shop, 1, value=1, ago=timedelta(0))
    newer = checked(start_from_ratings(analyst, before.dataset))
    version.refresh_from_db()
    assert newer.file_sha256 != version.file_sha256 == again.file_sha256


def test_a_worker_that_was_lost_after_writing_changes_nothing_any_more(shop, analyst):
    send(shop)
    version = start_from_ratings(analyst, find_or_create_own(analyst, shop))
    with leased(DatasetVersion, version.pk) as claim:
        write_down(claim)
    written = DatasetVersion.objects.get(pk=version.pk)
    DatasetVersion.objects.filter(pk=version.pk).update(lease_until=None)
    send(shop, 240)
    version = checked(version)
    assert (version.status, version.interaction_count) == ("ready", 121)
    assert (version.file_sha256, version.ratings_until) == (written.file_sha256, written.ratings_until)


def test_what_is_canceled_before_it_was_written_is_no_version_of_ratings_when_tried_again(shop, analyst):
    send(shop)
    version = start_from_ratings(analyst, find_or_create_own(analyst, shop))
    cancel_version(analyst, version)
    assert checked(version).status == "canceled"
    again = retry_version(analyst, version)
    assert (again.status, again.file_name, again.ratings_until) == ("uploading", "", None)


def test_without_a_rating_there_is_nothing_to_make_a_version_of(shop, analyst):
    dataset = find_or_create_own(analyst, shop)
    with pytest.raises(Conflict, match="No rating has been received yet"):
        start_from_ratings(analyst, dataset)
    send(shop, 0)
    version = start_from_ratings(analyst, dataset)
    take_rating_back(analyst, shop, *ODD)
    version = checked(version)
    assert version.status == "failed"
    assert "no data rows" in version.error["detail"]
    with pytest.raises(NotPermitted):
        start_from_ratings(make_actor(shop, "viewer"), dataset)


def test_the_button_under_data_makes_one_in_a_dataset_of_their_own(client, shop, analyst):
    client.force_login(analyst.user)
    data_url = reverse("data_list", args=[shop.slug])
    assert "Make a version of them" not in client.get(data_url).content.decode()
    made = client.post(reverse("data_from_ratings", args=[shop.slug]), follow=True)
    assert "No rating has been received yet" in made.content.decode()
    send(shop)
    page = client.get(data_url).content.decode()
    assert "121 ratings received one by one" in page
    answer = client.post(reverse("data_from_ratings", args=[shop.slug]))
    version = DatasetVersion.objects.get(shop=shop)
    assert answer.url == reverse("dataset_version_detail", args=[shop.slug, version.pk])
    assert version.dataset.name == "received ratings"
    assert "Reading every line of received ratings" in client.get(answer.url).content.decode()
    checked(version)
    assert "ratings received until" in client.get(answer.url).content.decode()
    other_shop = make_shop()
    body = {"dataset": make_version(make_actor(other_shop, "analyst"), other_shop).dataset_id}
    assert client.post(reverse("data_from_ratings", args=[shop.slug]), body).status_code == 404
