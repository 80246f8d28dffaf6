"""Uploads and columns: what may be done when, by whom, and what is kept."""

from hashlib import sha256

import pytest

from models_app.models import DatasetVersion
from models_app.services import datasets, training
from models_app.services.checking import check_version
from models_app.services.downloads import download_file
from models_app.tests.factories import items_csv, make_dataset, make_version, ratings_csv, start_runs
from portal.core import dispatch
from portal.core.actors import system
from portal.core.errors import (
    Conflict,
    InvalidInput,
    InvalidTransition,
    NotPermitted,
    PortalError,
    StaleState,
)
from portal.core.models import Event, Role
from portal.core.storage import blob_path
from portal.core.testing import at_once, make_actor, make_shop
from portal.core.transitions import transition

pytestmark = pytest.mark.django_db

EDGES = [(a, b) for a in DatasetVersion.STATUSES for b in DatasetVersion.STATUSES]


@pytest.mark.parametrize(("start", "end"), EDGES)
def test_every_edge_of_a_version_is_either_declared_or_refused(shop, analyst, start, end):
    dataset = make_dataset(analyst, shop)
    version = DatasetVersion.objects.create(shop=shop, dataset=dataset, number=1, status=start)
    if end in DatasetVersion.TRANSITIONS[start]:
        transition(version, end, actor=system("test"), shop=shop)
        assert Event.objects.get(object_id=version.pk).to_status == end
    else:
        with pytest.raises(InvalidTransition):
            transition(version, end, actor=system("test"), shop=shop)
        assert not Event.objects.filter(object_id=version.pk).exists()
    version.refresh_from_db()
    assert version.status == (end if end in DatasetVersion.TRANSITIONS[start] else start)


def test_a_name_is_taken_once_a_shop(shop, analyst):
    datasets.create_dataset(analyst, shop, "ratings")
    with pytest.raises(Conflict, match="already"):
        datasets.create_dataset(analyst, shop, " ratings ")
    other = make_shop()
    assert datasets.create_dataset(make_actor(other, Role.ANALYST), other, "ratings").name == "ratings"


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "two\nlines", "nul\0"])
def test_a_name_that_cannot_be_shown_is_refused(shop, analyst, name):
    with pytest.raises(InvalidInput):
        datasets.create_dataset(analyst, shop, name)


@pytest.mark.django_db(transaction=True)
def test_twelve_versions_started_at_once_have_twelve_numbers(shop, analyst):
    dataset = make_dataset(analyst, shop)
    results = at_once(12, lambda _: datasets.start_version(analyst, dataset))
    assert sorted(version.number for version in results) == list(range(1, 13))


def test_files_are_told_apart_by_their_columns(shop, analyst):
    version = datasets.start_version(analyst, make_dataset(analyst, shop))
    datasets.attach_file(analyst, version, [items_csv()], "a.csv")
    datasets.attach_file(analyst, version, [ratings_csv()], "b.csv")
    assert (version.items_name, version.items_roles["title"]) == ("a.csv", 1)
    assert (version.file_name, version.roles["user"]) == ("b.csv", 0)


def test_a_refused_file_leaves_no_bytes_behind_unless_somebody_else_has_them(shop, analyst):
    version = datasets.start_version(analyst, make_dataset(analyst, shop))
    body = b"%PDF-1.7 not a table"
    kept = blob_path(sha256(body).hexdigest())
    with pytest.raises(PortalError) as refused:
        datasets.attach_file(analyst, version, [body], "report.pdf")
    assert refused.value.status == 415
    assert not kept.exists()
    DatasetVersion.objects.filter(pk=version.pk).update(items_sha256=kept.name)
    with pytest.raises(PortalError):
        datasets.attach_file(analyst, version, [body], "report.pdf")
    assert kept.exists()


def test_the_files_of_a_version_in_check_stay_as_they_are(shop, analyst):
    version = make_version(analyst, shop)
    datasets.start_check(analyst, version)
    with pytest.raises(InvalidTransition, match="checking"):
        datasets.attach_file(analyst, version, [ratings_csv(seed=2)], "b.csv")
    with pytest.raises(InvalidTransition):
        datasets.set_columns(analyst, version, {"user": 0, "item": 1})
    with pytest.raises(InvalidTransition):
        datasets.start_check(analyst, version)


def test_columns_chosen_from_an_old_page_are_refused(shop, analyst):
    version = make_version(analyst, shop)
    old = DatasetVersion.objects.get(pk=version.pk)
    datasets.set_columns(analyst, version, {"user": 1, "item": 0})
    with pytest.raises(StaleState):
        datasets.set_columns(analyst, old, {"user": 0, "item": 1})
    version.refresh_from_db()
    assert version.roles == {"user": 1, "item": 0}


def test_a_check_wakes_a_worker_once_it_is_committed(
    shop, analyst, monkeypatch, django_capture_on_commit_callbacks
):
    sent = []
    monkeypatch.setattr(dispatch, "enqueue", lambda model, pk: sent.append((model, pk)) or True)
    version = make_version(analyst, shop)
    with django_capture_on_commit_callbacks(execute=True):
        datasets.start_check(analyst, version)
        assert sent == []
    assert sent == [(DatasetVersion, version.pk)]
    version.refresh_from_db()
    assert version.due_at is not None


def test_a_failed_version_can_be_tried_again_without_its_bad_rows(shop, analyst):
    bad = ratings_csv() + b"u1,i2,many,1700000000\n"
    version = make_version(analyst, shop, bad, checked=True)
    assert version.status == "failed"
    again = datasets.retry_version(analyst, version, leave_out_bad_rows=True)
    assert (again.number, again.file_sha256) == (2, version.file_sha256)
    datasets.start_check(analyst, again)
    check_version(again.pk)
    again.refresh_from_db()
    assert (again.status, again.interaction_count, again.problem_count) == ("ready", 720, 1)
    assert again.report["left_out"] == 1
    with pytest.raises(Conflict):
        datasets.retry_version(analyst, again)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ana\\ratings.csv", "ratings.csv"),
        ("a\r\nb\x00.csv", "ab.csv"),
        ("\u202efdp.csv", "fdp.csv"),
        ("x" * 5000, "x" * 255),
        ("", "unnamed"),
        ("<script>.csv", "<script>.csv"),
    ],
)
def test_a_file_name_is_kept_as_plain_text(given, kept):
    assert datasets.clean_file_name(given) == kept


class TestRoles:
    """Who may do what, in services: SECURITY's table."""

    WRITERS = frozenset({Role.ANALYST, Role.APPROVER, Role.ADMIN})
    ACTIONS = {
        "create": (WRITERS, lambda actor, shop, version: datasets.create_dataset(actor, shop, "new")),
        "start": (WRITERS, lambda actor, shop, version: datasets.start_version(actor, version.dataset)),
        "upload": (
            WRITERS,
            lambda actor, shop, version: datasets.attach_file(actor, version, [ratings_csv()], "a"),
        ),
        "columns": (
            WRITERS,
            lambda actor, shop, version: datasets.set_columns(actor, version, {"user": 0, "item": 1}),
        ),
        "check": (WRITERS, lambda actor, shop, version: datasets.start_check(actor, version)),
        "cancel": (WRITERS, lambda actor, shop, version: datasets.cancel_version(actor, version)),
        "download": (WRITERS, lambda actor, shop, version: download_file(actor, version)),
    }

    @pytest.mark.parametrize("role", list(Role))
    @pytest.mark.parametrize("name", list(ACTIONS))
    def test_data(self, shop, analyst, name, role):
        version = make_version(analyst, shop)
        allowed, act = self.ACTIONS[name]
        self.attempt(make_actor(shop, role), shop, version, allowed=role in allowed, act=act)

    @pytest.mark.parametrize("name", list(ACTIONS))
    def test_people_of_another_shop_may_nothing(self, shop, analyst, name):
        version = make_version(analyst, shop)
        stranger = make_actor(make_shop(), Role.ADMIN)
        self.attempt(stranger, shop, version, allowed=False, act=self.ACTIONS[name][1])

    @pytest.mark.parametrize("role", list(Role))
    def test_training(self, shop, analyst, role):
        version = make_version(analyst, shop, checked=True)
        mine, others = make_actor(shop, role), start_runs(analyst, version)[0]
        self.attempt(
            mine,
            shop,
            version,
            allowed=role in self.WRITERS,
            act=lambda actor, shop, version: start_runs(actor, version),
        )
        self.attempt(
            mine,
            shop,
            version,
            allowed=role in {Role.APPROVER, Role.ADMIN},
            act=lambda actor, shop, version: training.cancel_run(actor, others),
        )

    @staticmethod
    def attempt(actor, shop, version, *, allowed, act):
        before = Event.objects.count()
        if allowed:
            act(actor, shop, version)
            assert Event.objects.count() > before
        else:
            with pytest.raises(NotPermitted):
                act(actor, shop, version)
            assert Event.objects.count() == before
