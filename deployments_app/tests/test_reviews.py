"""Four eyes, whatever the way: page, API, token, admin, or the database itself."""

import pytest
from django.db import IntegrityError, connection, transaction

from deployments_app.models import Environment, Promotion, Release, Review, Rollout
from deployments_app.services.reviews import review_promotion
from deployments_app.services.rollbacks import roll_back
from deployments_app.services.rollouts import abort_rollout
from deployments_app.tests.factories import days_ago, make_world, pass_step, verbs
from portal.core.actors import bearer, system
from portal.core.errors import Conflict, InvalidInput, InvalidTransition, NotPermitted, StaleState
from portal.core.models import Event, Membership, Role
from portal.core.testing import at_once, make_actor, make_person
from portal.core.tokens import create_token

pytestmark = pytest.mark.django_db


def review(world, actor, asked, verdict="approve", comment="fine", **options):
    return review_promotion(actor, world.shop, asked, verdict, comment, **options)


def test_the_last_approval_creates_the_release_and_starts_its_rollout(world):
    asked = world.request()
    review(world, world.approver, asked)
    rollout = Rollout.objects.get(promotion=asked)
    asked.refresh_from_db()
    assert asked.status == "approved"
    assert rollout.status == "pending"
    assert rollout.due_at is not None
    assert rollout.release.number == 1
    assert rollout.release.artifact_digest == asked.artifact_digest
    assert verbs(asked) == ["promotion.requested", "promotion.approved"]
    assert verbs(rollout) == ["rollout.started"]


@pytest.mark.parametrize("role", [Role.APPROVER, Role.ADMIN])
def test_nobody_approves_their_own_request_whatever_their_role(world, role):
    me = make_actor(world.shop, role)
    asked = world.request(actor=me)
    for verdict in ("approve", "reject"):
        with pytest.raises(NotPermitted) as refusal:
            review(world, me, asked, verdict)
        assert refusal.value.code == "four_eyes"
    assert Promotion.objects.get().status == "open"


def test_a_later_role_does_not_help_the_person_who_asked(world):
    asked = world.request()
    Membership.objects.filter(user=world.analyst.user).update(role=Role.ADMIN)
    from portal.core.actors import person

    with pytest.raises(NotPermitted) as refusal:
        review(world, person(world.analyst.user), asked)
    assert refusal.value.code == "four_eyes"


@pytest.mark.parametrize("whose", ["admin", "approver", "analyst"])
def test_a_token_never_approves(world, whose):
    asked = world.request()
    owner = getattr(world, whose)
    scopes = ["promotions:request", "models:read", "rollouts:operate", "rollouts:rollback"]
    token, _ = create_token(actor=owner, shop=world.shop, name="ci", scopes=scopes)
    for verdict in ("approve", "reject"):
        with pytest.raises(NotPermitted, match="A token may not"):
            review(world, bearer(token), asked, verdict)


def test_the_system_never_approves(world):
    with pytest.raises(NotPermitted, match="Only people review"):
        review(world, system("automation"), world.request())


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST, Role.OPERATOR])
def test_other_roles_do_not_approve(world, role):
    asked = world.request()
    with pytest.raises(NotPermitted):
        review(world, make_actor(world.shop, role), asked)


def test_another_shops_approver_does_not_approve(world):
    other = make_world()
    with pytest.raises(NotPermitted):
        review(world, other.approver, world.request())


def test_the_database_refuses_the_requesters_approval(world):
    asked = world.request()
    with pytest.raises(IntegrityError, match="four eyes"), transaction.atomic():
        Review.objects.create(
            promotion=asked,
            reviewer=world.analyst.user,
            verdict="approve",
            artifact_digest=asked.artifact_digest,
            evidence_sha256=asked.evidence_sha256,
        )


def test_an_approval_is_bound_to_what_was_asked(world):
    asked = world.request()
    with pytest.raises(IntegrityError, match="bound to what was asked"), transaction.atomic():
        Review.objects.create(
            promotion=asked,
            reviewer=world.approver.user,
            verdict="approve",
            artifact_digest="0" * 64,
            evidence_sha256=asked.evidence_sha256,
        )


def test_two_approvals_need_two_people(told):
    world = make_world(min_approvals=2)
    asked = world.request()
    review(world, world.approver, asked)
    asked.refresh_from_db()
    assert asked.status == "open"
    assert not Rollout.objects.exists()
    with pytest.raises(Conflict) as refusal:
        review(world, world.approver, asked)
    assert refusal.value.code == "already_reviewed"
    review(world, world.admin, asked)
    asked.refresh_from_db()
    assert asked.status == "approved"
    assert verbs(asked) == ["promotion.requested", "promotion.reviewed", "promotion.approved"]
    assert Rollout.objects.get().release.approved_by == [
        world.approver.user.label,
        world.admin.user.label,
    ]


def test_one_rejection_ends_it_and_says_why(world):
    asked = world.request()
    with pytest.raises(InvalidInput, match="Write why"):
        review(world, world.approver, asked, "reject", " ")
    review(world, world.approver, asked, "reject", "too few winter coats")
    asked.refresh_from_db()
    assert asked.status == "rejected"
    assert Event.objects.get(verb="promotion.rejected").reason == "too few winter coats"
    with pytest.raises(InvalidTransition):
        review(world, world.admin, asked)


def test_comments_change_nothing_and_anybody_who_works_here_may_write_them(world):
    asked = world.request()
    for actor in (world.analyst, world.operator, world.approver):
        review(world, actor, asked, "comment", "what about coats?")
    asked.refresh_from_db()
    assert (asked.status, asked.lock_version) == ("open", 0)
    assert asked.reviews.count() == 3
    with pytest.raises(NotPermitted):
        review(world, world.viewer, asked, "comment", "and me?")


def test_a_failing_gate_needs_a_written_reason(world):
    asked = world.request(world.version(verdicts={}))
    with pytest.raises(InvalidInput) as refusal:
        review(world, world.approver, asked, comment="")
    assert refusal.value.code == "reason_missing"
    review(world, world.approver, asked, comment="we know this catalogue")
    assert Review.objects.get().comment == "we know this catalogue"


def test_a_blocking_gate_cannot_be_argued_away(told):
    world = make_world(blocking_gates=["beats_popularity"])
    asked = world.request(world.version(verdicts={}))
    with pytest.raises(Conflict) as refusal:
        review(world, world.approver, asked, comment="I insist")
    assert refusal.value.code == "gate_blocks"
    assert "popularity" in refusal.value.detail


def test_a_stale_request_is_not_approved(world):
    asked = world.request(world.version())
    world.make_live(world.version())
    with pytest.raises(Conflict, match="champion changed since this evidence") as refusal:
        review(world, world.approver, asked)
    assert refusal.value.status == 409
    world.reconcile()
    with pytest.raises(InvalidTransition, match="champion changed since this evidence"):
        review(world, world.approver, asked)


def test_an_expired_request_is_not_approved(world):
    asked = world.request()
    Promotion.objects.filter(pk=asked.pk).update(expires_at=days_ago(0.001))
    with pytest.raises(Conflict) as refusal:
        review(world, world.approver, asked)
    assert refusal.value.code == "expired"


def test_a_form_made_from_an_older_state_is_refused(world):
    asked = world.request()
    with pytest.raises(StaleState):
        review(world, world.approver, asked, lock_version=41)
    assert not Review.objects.exists()


def test_while_a_rollout_is_active_the_next_one_waits_and_then_starts_by_itself(world):
    first, second = world.request(world.version()), world.request(world.version())
    world.approve(first)
    world.approve(second)
    second.refresh_from_db()
    assert second.status == "approved"
    assert Rollout.objects.count() == 1
    rollout = Rollout.objects.get()
    world.advance(rollout, 3)
    assert rollout.status == "succeeded"
    following = Rollout.objects.get(promotion=second)
    assert (following.status, following.release.number) == ("pending", 2)
    assert following.plan["steps"][0]["weight_pct"] == 10


@pytest.fixture
def waiting(world):
    """A request that was approved while the canary of another one was under way."""
    world.make_live()
    world.make_live()
    canary = world.advance(world.start())
    asked = world.approve(world.request())
    assert not asked.rollouts.exists()
    return canary, asked


def test_the_next_one_starts_when_the_one_before_fails(world, waiting):
    canary, asked = waiting
    pass_step(canary, "fail", "too many errors")
    world.advance(canary)
    assert (canary.status, asked.rollouts.get().status) == ("failed", "pending")


def test_the_next_one_starts_when_the_one_before_is_aborted(world, waiting, visit):
    canary, asked = waiting
    assert "It starts by itself when the rollout under way has ended" in (
        visit("approver", "promotion_detail", asked.pk).text_
    )
    abort_rollout(world.operator, world.shop, canary)
    assert asked.rollouts.get().status == "pending"
    assert "It starts by itself" not in visit("approver", "promotion_detail", asked.pk).text_


@pytest.mark.parametrize("is_same", [True, False])
def test_after_a_rollback_the_next_one_starts_if_it_was_compared_with_what_is_live_then(
    world, waiting, is_same
):
    canary, asked = waiting
    target = asked.champion if is_same else world.deployment.releases.get(number=1)
    back = roll_back(world.operator, world.shop, world.deployment, to_release=target.pk)
    canary.refresh_from_db()
    assert canary.status == "aborted"
    assert not asked.rollouts.exists()  # the rollback has the way to itself
    Rollout.objects.filter(pk=back.pk).update(step_started_at=days_ago(0.01))
    world.advance(back)
    assert back.status == "succeeded"
    asked.refresh_from_db()
    if is_same:
        assert (asked.status, asked.rollouts.get().status) == ("approved", "pending")
    else:
        assert (asked.status, asked.rollouts.exists()) == ("superseded", False)
        reason = Event.objects.filter(object_id=asked.pk, verb="promotion.superseded").get().reason
        assert reason == "the champion changed since this evidence"


def test_the_environments_approvals_are_read_when_somebody_approves(world):
    asked = world.request()
    Environment.objects.filter(pk=world.environment.pk).update(min_approvals=2)
    review(world, world.approver, asked)
    asked.refresh_from_db()
    assert asked.status == "open"


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_24_approvals_at_once_make_one_release(self, world):
        asked = world.request()
        people = [make_actor(world.shop, Role.APPROVER) for _ in range(24)]
        results = at_once(24, lambda n: review(world, people[n], asked, lock_version=asked.lock_version))
        assert _outcomes(results) == {"won": 1, 409: 23}
        _assert_one_release(asked)

    def test_24_clicks_of_one_person_are_one_approval(self, world):
        asked = world.request()
        results = at_once(24, lambda n: review(world, world.approver, asked))
        assert _outcomes(results) == {"won": 1, 409: 23}
        _assert_one_release(asked)

    def test_approvals_and_rejections_at_once_have_one_winner(self, world):
        asked = world.request()
        people = [make_actor(world.shop, Role.APPROVER) for _ in range(24)]
        results = at_once(24, lambda n: review(world, people[n], asked, "approve" if n % 2 else "reject"))
        assert _outcomes(results) == {"won": 1, 409: 23}
        assert Event.objects.filter(verb__in=["promotion.approved", "promotion.rejected"]).count() == 1

    def test_24_clicks_through_the_api_are_one_approval(self, world):
        from django.test import Client

        asked = world.request()
        clients = []
        for _ in range(24):
            client = Client(HTTP_X_AISLE_SHOP=world.shop.slug)
            client.force_login(
                make_person(world.shop, Role.APPROVER),
                backend="django.contrib.auth.backends.ModelBackend",
            )
            clients.append(client)

        def click(n):
            return clients[n].post(
                f"/api/v1/promotions/{asked.pk}/approve",
                {"comment": "fine", "lock_version": asked.lock_version},
                content_type="application/json",
                headers={"Idempotency-Key": f"click-{n}"},
            )

        results = at_once(24, click)
        found = sorted(getattr(each, "status_code", repr(each)) for each in results)
        assert found == [200] + [409] * 23
        refused = next(each for each in results if each.status_code == 409).json()
        assert refused["code"] in ("stale_state", "invalid_transition")
        _assert_one_release(asked)

    def test_two_approvers_of_two_both_count(self, told):
        world = make_world(min_approvals=2)
        asked = world.request()
        people = [make_actor(world.shop, Role.APPROVER) for _ in range(2)]
        results = at_once(2, lambda n: review(world, people[n], asked))
        assert _outcomes(results) == {"won": 2}
        _assert_one_release(asked)

    def test_two_requests_approved_at_once_start_one_rollout(self, world):
        both = [world.request(world.version()) for _ in range(2)]
        results = at_once(2, lambda n: review(world, world.approver, both[n]))
        assert _outcomes(results) == {"won": 2}
        assert Rollout.objects.count() == 1
        assert Promotion.objects.filter(status="approved").count() == 2


def _outcomes(results):
    found: dict = {}
    for each in results:
        key = getattr(each, "status", repr(each)) if isinstance(each, Exception) else "won"
        found[key] = found.get(key, 0) + 1
    return found


def _assert_one_release(asked):
    assert Event.objects.filter(object_id=asked.pk, verb="promotion.approved").count() == 1
    assert Rollout.objects.filter(promotion=asked).count() == 1
    assert Release.objects.count() == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM core_event WHERE seq IS NULL")
        assert cursor.fetchone()[0] == 0
