"""What shops send: each event once, each with its verdict, whatever else stands in the batch."""

import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from deployments_app.models import Release
from deployments_app.recommendation_keys import recommendation_key
from deployments_app.tests.factories import make_world, stored_artifact
from engine.serving.attribution import issue
from monitoring_app.models import FeedbackEvent, FeedbackPoint, FeedbackWindow, ListOutcome, Rating
from monitoring_app.selectors.ratings import count_ratings, read_ratings
from monitoring_app.services.feedback import take_events
from monitoring_app.services.sweeping import prune_events, prune_points
from portal.core.testing import at_once, make_actor
from portal.tests.calls import Program, check_problem

pytestmark = pytest.mark.django_db


def make_release(world, number=1):
    return Release.objects.create(
        deployment=world.deployment,
        number=number,
        model_version=world.version(),
        artifact_digest=stored_artifact("als")[0],
    )


@pytest.fixture
def world():
    return make_world()


@pytest.fixture
def release(world):
    return make_release(world)


@pytest.fixture
def sender(world):
    return Program(world.admin, world.shop, ["events:write"])


def list_of(release, *, ago_s=60.0, key=None, variant="stable"):
    """A recommendation_id as the release's model server signs it."""
    served_ms = int((timezone.now() - timedelta(seconds=ago_s)).timestamp() * 1000)
    key = (key or recommendation_key(release.pk)).encode()
    return issue(key, release=release.pk, deployment=release.deployment_id, variant=variant, now_ms=served_ms)


def event(number=1, kind="recommendation-click", **fields):
    base = {"event_id": f"e{number}", "type": kind, "user_id": "u1", "item_id": "i3"}
    return {name: value for name, value in {**base, **fields}.items() if value is not ...}


def send(sender, *events, status=202, **headers):
    answer = sender.call("POST", "events", list(events), **headers)
    assert answer.status_code == status, answer.content
    return answer.json()


def sums(width_s=60):
    return {
        point.release_id: (point.impressions, point.seen, point.clicks, point.purchases)
        for point in FeedbackPoint.objects.filter(width_s=width_s)
    }


def test_a_click_is_credited_to_the_release_that_signed_its_list_and_counts_once(world, release, sender):
    shown = list_of(release)
    body = send(
        sender,
        event(1, recommendation_id=shown),
        event(2, recommendation_id=shown),  # a second click on the same list
        event(3, "impression", recommendation_id=shown, item_id=...),
        event(4, "purchase-complete", recommendation_id=shown, value=79.9, currency="EUR"),
        event(5, "impression", recommendation_id=list_of(release), item_id=...),
        event(6, "search", item_id=..., user_id=..., session_id="s1"),
    )
    assert body == {"accepted": 6, "duplicates": 0, "rejected": []}
    totals = [sum(column) for column in zip(*FeedbackPoint.objects.filter(width_s=60).values_list(
        "impressions", "seen", "clicks", "purchases"), strict=True)]  # fmt: skip
    assert totals == [2, 2, 1, 1]
    kept = FeedbackEvent.objects.get(event_id="e4")
    assert (kept.release_id, kept.is_in_time, str(kept.value)) == (release.pk, True, "79.9000")
    assert FeedbackEvent.objects.get(event_id="e6").release_id is None


def test_an_id_counts_once_in_a_batch_and_in_a_repeated_one_and_in_each_shop(world, release, sender):
    shown = list_of(release)
    batch = [event(1, recommendation_id=shown), event(1, recommendation_id=shown), event(2, "search")]
    assert send(sender, *batch)["duplicates"] == 1
    assert send(sender, *batch) == {"accepted": 0, "duplicates": 3, "rejected": []}
    assert [point[2] for point in sums().values()] == [1]
    other = make_world()
    assert send(Program(other.admin, other.shop), event(2, "search"))["accepted"] == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_events_from_eight_senders_at_once_are_taken_once(world, release):
    shown = [list_of(release) for _ in range(40)]
    batch = [event(number, recommendation_id=each) for number, each in enumerate(shown)]

    def take(number):
        order = batch if number % 2 else batch[::-1]
        return take_events(world.admin, world.shop, order)

    results = at_once(8, take)
    assert not [each for each in results if isinstance(each, Exception)]
    assert sum(each.accepted for each in results) == 40
    assert sum(each.duplicates for each in results) == 7 * 40
    assert sum(FeedbackPoint.objects.filter(width_s=60).values_list("clicks", flat=True)) == 40
    assert FeedbackEvent.objects.count() == 40


@pytest.mark.django_db(transaction=True)
def test_an_accepted_event_is_committed_before_the_answer(sender):
    send(sender, event(1, "search"))
    # another connection, which sees only what is committed
    assert at_once(1, lambda _: FeedbackEvent.objects.count()) == [1]


def test_ids_that_this_shop_did_not_sign_are_refused_alone(world, release, sender):
    other = make_release(make_world())
    real = list_of(release)
    body = send(
        sender,
        event(1, recommendation_id=list_of(release, key="another secret")),
        event(2, recommendation_id=list_of(other)),
        event(3, recommendation_id=real[:-1] + ("A" if real[-1] != "A" else "B")),
        event(4, recommendation_id="rec_01J"),
        event(5, recommendation_id=real),
        event(6, recommendation_id=list_of(release, ago_s=-3000), occurred_at=...),
    )
    assert body["accepted"] == 1
    codes = {each["index"]: (each["code"], each["pointer"]) for each in body["rejected"]}
    forged, malformed = ("forged_recommendation_id", "malformed_recommendation_id")
    assert codes[0] == codes[1] == (forged, "/recommendation_id")
    assert codes[2][0] in (forged, malformed)
    assert codes[3] == (malformed, "/recommendation_id")
    assert codes[5] == ("before_its_list", "/occurred_at")
    details = {each["detail"] for each in body["rejected"] if each["index"] in (0, 1)}
    assert len(details) == 1  # nobody learns which releases another shop has


def test_a_secret_that_was_replaced_still_reads_its_lists(release, sender, settings):
    shown = list_of(release)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new one, long enough to be taken for a secret"
    body = send(Program(make_actor(release.deployment.shop), release.deployment.shop),
                event(1, recommendation_id=shown))  # fmt: skip
    assert body["accepted"] == 1


def test_what_comes_after_the_window_is_kept_but_speaks_for_no_list(world, release, sender):
    body = send(
        sender,
        event(1, recommendation_id=list_of(release, ago_s=1900)),
        event(2, "purchase-complete", recommendation_id=list_of(release, ago_s=1900)),
        event(3, "purchase-complete", recommendation_id=list_of(release, ago_s=90_000)),
    )
    assert body["accepted"] == 3
    counted = FeedbackEvent.objects.filter(is_in_time=True)
    assert list(counted.values_list("event_id", flat=True)) == ["e2"]
    assert [point[2:] for point in sums().values()] == [(0, 1)]
    FeedbackWindow.objects.create(deployment=world.deployment, click_s=3600, purchase_s=60)
    send(sender, event(4, recommendation_id=list_of(release, ago_s=1900)))
    assert FeedbackEvent.objects.get(event_id="e4").is_in_time


@pytest.mark.parametrize("variant", ["preview", "compared", "shadow", "batch", "direct"])
def test_only_what_an_arms_shoppers_do_speaks_for_a_release(release, sender, variant):
    shown, looked_at = list_of(release, variant="canary"), list_of(release, variant=variant)
    body = send(
        sender,
        event(1, recommendation_id=shown),
        event(2, recommendation_id=looked_at),
        event(3, "impression", recommendation_id=looked_at, item_id=...),
        event(4, "purchase-complete", recommendation_id=looked_at),
    )
    assert body["accepted"] == 4
    assert sums() == {release.pk: (0, 1, 1, 0)}
    assert FeedbackEvent.objects.get(event_id="e4").release_id == release.pk  # kept with whose list it was


def test_a_click_counts_where_its_list_was_given_out(release, sender):
    send(sender, event(1, recommendation_id=list_of(release, ago_s=1500)))
    point = FeedbackPoint.objects.get(width_s=2)
    assert timedelta(seconds=1498) < timezone.now() - point.at < timedelta(seconds=1510)


LONG = "x" * 257
BAD = [
    ({"event_id": ...}, "missing", "/event_id"),
    ({"event_id": ""}, "missing", "/event_id"),
    ({"event_id": 7}, "wrong_type", "/event_id"),
    ({"event_id": "x" * 129}, "too_long", "/event_id"),
    ({"event_id": "a\x01b"}, "control_character", "/event_id"),
    ({"type": ...}, "unknown_type", "/type"),
    ({"type": "click"}, "unknown_type", "/type"),
    ({"type": ["search"]}, "unknown_type", "/type"),
    ({"user_id": ...}, "missing", "/user_id"),
    ({"user_id": 42}, "wrong_type", "/user_id"),
    ({"user_id": True}, "wrong_type", "/user_id"),
    ({"user_id": {"a": 1}}, "wrong_type", "/user_id"),
    ({"user_id": LONG}, "too_long", "/user_id"),
    ({"user_id": "é" * 129}, "too_long", "/user_id"),
    ({"user_id": "a\nb"}, "control_character", "/user_id"),
    ({"item_id": LONG}, "too_long", "/item_id"),
    ({"session_id": LONG}, "too_long", "/session_id"),
    ({"type": "add-to-cart", "item_id": ...}, "missing", "/item_id"),
    ({"type": "recommendation-click"}, "missing", "/recommendation_id"),
    ({"type": "impression"}, "missing", "/recommendation_id"),
    ({"type": "rating"}, "missing", "/value"),
    ({"type": "rating", "value": 1, "user_id": ..., "session_id": "s"}, "missing", "/user_id"),
    ({"recommendation_id": "rec_" + "A" * 600}, "too_long", "/recommendation_id"),
    ({"recommendation_id": "rec_" + "A" * 100}, "malformed_recommendation_id", "/recommendation_id"),
    ({"position": 0}, "out_of_range", "/position"),
    ({"position": 1.5}, "out_of_range", "/position"),
    ({"position": True}, "out_of_range", "/position"),
    ({"position": 10**30}, "out_of_range", "/position"),
    ({"value": -1}, "out_of_range", "/value"),
    ({"value": 1e300}, "out_of_range", "/value"),
    ({"value": "79,90"}, "wrong_type", "/value"),
    ({"value": True}, "wrong_type", "/value"),
    ({"currency": "euro"}, "wrong_currency", "/currency"),
    ({"currency": 978}, "wrong_currency", "/currency"),
    ({"occurred_at": "yesterday"}, "wrong_time", "/occurred_at"),
    ({"occurred_at": 1_767_225_600}, "wrong_time", "/occurred_at"),
    ({"occurred_at": "2026-01-02"}, "wrong_time", "/occurred_at"),
    ({"occurred_at": "2026-01-02T03:04:05"}, "wrong_time", "/occurred_at"),
    ({"occurred_at": "2026-13-02T03:04:05Z"}, "wrong_time", "/occurred_at"),
    ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "wrong_time", "/occurred_at"),
    ({"occurred_at": "0001-01-02T00:00:00Z"}, "too_old", "/occurred_at"),
    ({"occurred_at": "9998-12-31T23:59:59Z"}, "in_the_future", "/occurred_at"),
    ({"occurred_at": "٢٠٢٦-01-02T03:04:05Z"}, "wrong_time", "/occurred_at"),
    ({"colour": "red"}, "unknown_field", "/colour"),
    ({"a/b~c": 1}, "unknown_field", "/a~1b~0c"),
    ([], "wrong_type", ""),
    (None, "wrong_type", ""),
    ("event", "wrong_type", ""),
]


def test_what_is_wrong_with_one_event_is_said_of_it_alone(sender):
    good = event(0, "detail-page-view")
    bad = [
        event(n + 1, **{"type": "detail-page-view", **change}) if isinstance(change, dict) else change
        for n, (change, _, _) in enumerate(BAD)
    ]
    body = send(sender, *bad, good)
    assert body["accepted"] == 1
    assert [each["index"] for each in body["rejected"]] == list(range(len(BAD)))
    found = [(each["code"], each["pointer"]) for each in body["rejected"]]
    assert found == [(code, pointer) for _, code, pointer in BAD]
    assert all(20 < len(each["detail"]) < 250 for each in body["rejected"])


def test_an_edge_that_is_right_is_taken(sender):
    now = timezone.now()
    body = send(
        sender,
        event("x" * 127, "detail-page-view", user_id="é" * 128, item_id="i" * 256),
        event(2, "search", occurred_at=(now - timedelta(days=7) + timedelta(minutes=1)).isoformat()),
        event(3, "search", occurred_at=(now + timedelta(minutes=4)).isoformat()),
        event(4, "search", occurred_at=now.strftime("%Y-%m-%dT%H:%M:%S.123456789Z"), position=1000),
        event(5, "search", occurred_at=None, value=None, session_id=None),
        event(6, "search", user_id=" e\u0301 "),
    )
    assert body["accepted"] == 6, body
    assert FeedbackEvent.objects.get(event_id="e6").user_id == "é"  # as an uploaded file is read
    assert FeedbackEvent.objects.get(event_id="e3").occurred_at <= timezone.now()


BODIES = [
    (b"", 400), (b"[", 400), (b"{}", 400), (b'"x"', 400), (b"null", 400), (b"[NaN]", 400), (b"[1e999]", 400),
    (b'[{"event_id": "a\\u0000"}]', 400), (b'[{"event_id": "\\ud800"}]', 400), (b"[\xff]", 400),
    (b'[{"event_id": "a", "event_id": "b"}]', 400), (b"[" * 40 + b"]" * 40, 400),
    (b"[" * 100_000 + b"]" * 100_000, 400), (b"[" + b"9" * 5000 + b"]", 400),
    (b"[" + b",".join([b"{}"] * 1001) + b"]", 413), (b"[" + b" " * 6_553_600 + b"]", 413),
]  # fmt: skip


def test_a_body_that_is_no_list_of_events_is_refused_whole(sender):
    for body, status in BODIES:
        problem = check_problem(sender.call("POST", "events", body), status)
        assert len(problem["detail"]) < 300
    check_problem(sender.call("POST", "events", b"[]", **{"Content-Type": "text/csv"}), 415)
    assert send(sender) == {"accepted": 0, "duplicates": 0, "rejected": []}
    assert not FeedbackEvent.objects.exists()


def test_lines_are_read_one_by_one(sender):
    lines = [
        json.dumps(event(1, "search")).encode(),
        b'{"event_id": "e2", "type": "sea',
        b"",
        b'{"event_id": "a\\u0000", "type": "search"}',
        b"[" * 50_000,
        b'{"event_id": "' + b"x" * 70_000 + b'"}',
        json.dumps(event(3, "search")).encode() + b"\r",
    ]
    kind = {"Content-Type": "application/x-ndjson"}
    answer = sender.call("POST", "events", b"\n".join(lines), **kind)
    assert answer.status_code == 202, answer.content
    body = answer.json()
    assert body["accepted"] == 2
    assert [(each["index"], each["code"]) for each in body["rejected"]] == [
        (number, "not_json") for number in (1, 2, 3, 4)
    ]
    check_problem(sender.call("POST", "events", b"{}\n" * 1001, **kind), 413, "too_large")


def longest(number, recommendation_id):
    """An event with every field at its limit, as an encoder writes it that escapes what HTML would read."""
    named = event(
        "&" * 123 + f"{number:04}", "purchase-complete", user_id="&" * 256, session_id="&" * 256,
        item_id="&" * 256, recommendation_id=recommendation_id, position=1000, value=999999999.9999999,
        currency="EUR", occurred_at=timezone.now().strftime("%Y-%m-%dT%H:%M:%S.123456789+00:00"),
    )  # fmt: skip
    return json.dumps(named).replace("&", "\\u0026")


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_a_thousand_events_fit_however_long_they_are(release, sender, kind):
    def taken(recommendation_id):
        events = [longest(number, recommendation_id) for number in range(1000)]
        body = "\n".join(events) if kind.endswith("ndjson") else f"[{', '.join(events)}]"
        answer = sender.call("POST", "events", body.encode(), **{"Content-Type": kind})
        assert answer.status_code == 202, answer.content
        return len(body), answer.json()

    size, body = taken(list_of(release))
    assert (size > 5_500_000, body["accepted"]) == (True, 1000)
    size, body = taken("rec_" + "A" * 512)  # no longer one is read at all
    assert (size > 6_000_000, len(body["rejected"])) == (True, 1000)


def test_a_batch_of_a_thousand_costs_few_queries(release, sender, django_assert_max_num_queries):
    batch = [event(n, recommendation_id=list_of(release, ago_s=n)) for n in range(1000)]
    with django_assert_max_num_queries(16):
        assert send(sender, *batch)["accepted"] == 1000
    assert ListOutcome.objects.filter(kind="clicks").count() == 1000
    text = Client().get("/metrics").content.decode()
    shop = release.deployment.shop.slug
    assert f'aisle_events_total{{shop="{shop}",type="recommendation-click",verdict="accepted"}} 1000' in text
    assert "aisle_event_lag_seconds_bucket" in text


def test_the_last_word_on_an_item_is_kept_and_can_be_taken_back(world, sender):
    now = timezone.now()
    at = {days: (now - timedelta(days=days)).isoformat() for days in (1, 2, 3)}
    send(
        sender,
        event(1, "rating", value=2, occurred_at=at[1]),
        event(2, "rating", value=5, occurred_at=at[3]),
        event(3, "rating", value=1, item_id="i4"),
    )
    pair = {"user_id": "u1", "item_id": "i3"}
    for value, days, kept in ((4.5, 2, 2), (3.5, 1, 3.5)):
        answer = sender.post("ratings", {**pair, "value": value, "rated_at": at[days]})
        assert answer.status_code == 201, answer.content
        assert Rating.objects.get(**pair).value == kept
    for _ in range(2):
        gone = sender.client.delete("/api/v1/ratings", query_params=pair, headers=sender.headers)
        assert gone.status_code == 204
    assert [row[1:3] for row in read_ratings(world.shop)] == [("i4", 1)]
    send(sender, event(4, "rating", value=2, occurred_at=at[1]))  # said before, and on its way since
    send(sender, event(5, "rating", value=2, item_id="i5", occurred_at=at[1]))
    assert sender.post("ratings", {**pair, "value": 2, "rated_at": at[2]}).status_code == 201
    never_seen = {"user_id": "u1", "item_id": "i6"}  # its rating is still on its way, too
    sender.client.delete("/api/v1/ratings", query_params=never_seen, headers=sender.headers)
    send(sender, event(6, "rating", value=2, item_id="i6", occurred_at=at[1]))
    assert [row[1:3] for row in read_ratings(world.shop)] == [("i4", 1), ("i5", 2)]
    assert count_ratings(world.shop) == 2
    send(sender, event(7, "rating", value=3))  # and now again
    assert [row[1:3] for row in read_ratings(world.shop)] == [("i3", 3), ("i4", 1), ("i5", 2)]
    assert prune_events(now + timedelta(days=7)) == 0
    assert prune_events(now + timedelta(days=9)) == 1  # nothing older would be taken any more
    assert Rating.objects.count() == 3
    for change in ({"value": "five"}, {"user_id": "a\x01"}, {"rated_at": "never"}, {"value": None}, {"x": 1}):
        check_problem(sender.post("ratings", {**pair, "value": 3, **change}), 400)
    gone = sender.client.delete("/api/v1/ratings?user_id=u1", headers=sender.headers)
    check_problem(gone, 400)


def test_events_go_when_they_are_older_than_they_are_kept(release, sender, monkeypatch):
    monkeypatch.setattr("monitoring_app.services.sweeping.BATCH", 2)
    send(sender, *(event(n, recommendation_id=list_of(release)) for n in range(5)))
    now = timezone.now()
    assert prune_events(now + timedelta(days=89)) == 0
    assert prune_events(now + timedelta(days=91)) == 5 + 10
    assert not FeedbackEvent.objects.exists()
    prune_points(release.deployment_id, now + timedelta(days=89))
    assert {point.width_s for point in FeedbackPoint.objects.all()} == {60}
    prune_points(release.deployment_id, now + timedelta(days=91))
    assert not FeedbackPoint.objects.exists()


def test_a_token_without_the_scope_sends_nothing(world):
    check_problem(Program(world.admin, world.shop, ["models:read"]).post("events", [event(1, "search")]), 403)


def test_windows_are_a_placements_own(world):
    program = Program(world.admin, world.shop)
    path = f"deployments/{world.deployment.pk}/feedback-window"
    assert program.get(path).json() == {"click_s": 1800, "purchase_s": 86_400}
    assert program.call("PUT", path, {"click_s": 600, "purchase_s": 7200}).status_code == 200
    assert program.get(path).json() == {"click_s": 600, "purchase_s": 7200}
    check_problem(program.call("PUT", path, {"click_s": 0, "purchase_s": 7200}), 400)
