"""Whoever a table of rights does not name changes nothing: by service, by each press of a page, by the API.

`test_routes.py` compares the answers of every route; here the whole database is compared before and after.
"""

import ast
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from deployments_app.models import Deployment, Environment, Promotion, Release, Rollout
from deployments_app.services import (
    artifacts,
    environments,
    keys,
    promotions,
    rehearsals,
    removals,
    reviews,
    rollbacks,
    rollouts,
    starts,
)
from models_app.models import ModelVersion
from monitoring_app.services import alerts, consistency, feedback, ratings, windows
from portal.core.actors import Actor
from portal.core.errors import NotPermitted
from portal.tests.route_table import LETTERS, RIGHTS, ROUTES
from portal.tests.scene import ROLES, Scene
from portal.tests.test_routes import CHANGES, fingerprint, send

pytestmark = [pytest.mark.django_db, pytest.mark.patient]

ROOT = Path(__file__).parents[2]
STAGES = ("deployments_app", "monitoring_app")
READS = {"check_access", "preview_promotion", "preview_request"}  # they change nothing for anybody
# A refusal is kept for the retry of the same request, too; and that a token was used.
NO_CHANGE = ("core_idempotencykey", "core_apitoken")

Act = Callable[[Scene, Actor], Any]


def row(model: type, name: str) -> Callable[[Scene], Any]:
    return lambda scene: model.objects.get(pk=scene.ids[name])  # type: ignore[attr-defined]


request, waiting = row(Promotion, "request"), row(Promotion, "approved request")
going, paused, side_by_side = (row(Rollout, name) for name in ("progressing", "paused", "testing"))
home, release = row(Deployment, "deployment"), row(Release, "release")
place, empty = row(Environment, "environment"), row(Environment, "empty environment")

# Every service of both stages that asks for a right, with what it takes to be done.
SERVICES: dict[str, tuple[str, Act]] = {
    "request_promotion": (
        "promotions.request",
        lambda s, a: promotions.request_promotion(
            a, s.shop, ModelVersion.objects.get(pk=s.ids["model version"]), home(s)
        ),
    ),
    "withdraw_promotion": (
        "promotions.request",
        lambda s, a: promotions.withdraw_promotion(a, s.shop, request(s)),
    ),
    "review_promotion": (
        "promotions.review",
        lambda s, a: reviews.review_promotion(a, s.shop, request(s), "approve", "It looks right."),
    ),
    "review_promotion: reject": (
        "promotions.review",
        lambda s, a: reviews.review_promotion(a, s.shop, request(s), "reject", "Not yet."),
    ),
    "review_promotion: comment": (
        "promotions.comment",
        lambda s, a: reviews.review_promotion(a, s.shop, request(s), "comment", "Why?"),
    ),
    "start_rollout": ("rollouts.operate", lambda s, a: starts.start_rollout(a, s.shop, waiting(s))),
    "pause_rollout": ("rollouts.operate", lambda s, a: rollouts.pause_rollout(a, s.shop, going(s))),
    "resume_rollout": ("rollouts.operate", lambda s, a: rollouts.resume_rollout(a, s.shop, paused(s))),
    "step_now": ("rollouts.operate", lambda s, a: rollouts.step_now(a, s.shop, going(s))),
    "promote_now": ("rollouts.operate", lambda s, a: rollouts.promote_now(a, s.shop, going(s))),
    "abort_rollout": ("rollouts.operate", lambda s, a: rollouts.abort_rollout(a, s.shop, going(s))),
    "conclude_rollout": (
        "rollouts.operate",
        lambda s, a: rollouts.conclude_rollout(a, s.shop, side_by_side(s), "new"),
    ),
    "explain_rollout": (
        "rollouts.operate",
        lambda s, a: rollouts.explain_rollout(a, s.shop, going(s), "Because."),
    ),
    "roll_back": ("rollouts.rollback", lambda s, a: rollbacks.roll_back(a, s.shop, home(s))),
    "rehearse_rollback": (
        "rollouts.rollback",
        lambda s, a: rehearsals.rehearse_rollback(a, s.shop, home(s)),
    ),
    "create_environment": (
        "deployments.write",
        lambda s, a: environments.create_environment(a, s.shop, "stage", "Stage"),
    ),
    "create_deployment": (
        "deployments.write",
        lambda s, a: environments.create_deployment(a, s.shop, place(s), "cart", "Cart"),
    ),
    "remove_environment": (
        "deployments.write",
        lambda s, a: removals.remove_environment(a, s.shop, empty(s)),
    ),
    "revoke_artifact_addresses": (
        "deployments.write",
        lambda s, a: artifacts.revoke_artifact_addresses(a, s.shop, release(s)),
    ),
    "issue_serving_key": ("keys.write", lambda s, a: keys.issue_serving_key(a, s.shop, home(s), "app")),
    "revoke_serving_key": (
        "keys.write",
        lambda s, a: keys.revoke_serving_key(a, s.shop, home(s), s.ids["key"]),
    ),
    "ask_for_check": (
        "rollouts.operate",
        lambda s, a: consistency.ask_for_check(a, s.shop, s.ids["deployment"]),
    ),
    "acknowledge_alert": (
        "rollouts.operate",
        lambda s, a: alerts.acknowledge_alert(a, s.shop, s.ids["alert"]),
    ),
    "set_window": (
        "deployments.write",
        lambda s, a: windows.set_window(a, s.shop, s.ids["deployment"], click_s=60, purchase_s=600),
    ),
    "take_events": (
        "events.write",
        lambda s, a: feedback.take_events(a, s.shop, [{"event_id": "e1", "type": "search", "user_id": "u1"}]),
    ),
    "rate": ("events.write", lambda s, a: ratings.rate(a, s.shop, "u9", "i1", 4.0, timezone.now())),
    "take_rating_back": ("events.write", lambda s, a: ratings.take_rating_back(a, s.shop, "u1", "i1")),
}

# What a page's one address does, told by `do`: the table of routes tries one of each.
PRESSES: dict[tuple[str, str, str], str] = {
    ("promotion_decide", "request", "approve"): "promotions.review",
    ("promotion_decide", "request", "reject"): "promotions.review",
    ("promotion_decide", "request", "comment"): "promotions.comment",
    ("promotion_decide", "request", "withdraw"): "promotions.request",
    ("promotion_decide", "approved request", "start"): "rollouts.operate",
    ("rollout_act", "progressing", "pause"): "rollouts.operate",
    ("rollout_act", "paused", "resume"): "rollouts.operate",
    ("rollout_act", "progressing", "step"): "rollouts.operate",
    ("rollout_act", "progressing", "promote"): "rollouts.operate",
    ("rollout_act", "progressing", "abort"): "rollouts.operate",
    ("rollout_act", "testing", "conclude new"): "rollouts.operate",
    ("rollout_act", "testing", "conclude live"): "rollouts.operate",
}


def refused(right: str) -> list[str]:
    """Roles that lack a right, the one just below those that have it among them."""
    return [role for role in ROLES if LETTERS[role] not in RIGHTS[right][0]]


def who_may(right: str) -> str:
    """The least of the roles that have a right; of a request, who asked for it."""
    return next(role for role in ROLES if LETTERS[role] in RIGHTS[right][0])


def attempt(act: Callable[[], Any]) -> tuple[set[str], Any]:
    """Do something and undo it; return which tables it changed, and what it returned or raised."""
    with transaction.atomic():
        before = fingerprint()
        try:
            result = act()
        except NotPermitted as error:
            result = error
        after = fingerprint()
        transaction.set_rollback(True)
    return {name for name in after if after[name] != before[name]} - {*NO_CHANGE}, result


def services_that_ask_for_a_right() -> set[str]:
    """Public functions of both stages' services that call `authorize`, by themselves or by `_held`."""
    found = set()
    for path in (path for stage in STAGES for path in (ROOT / stage / "services").glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                called = {each.func.id for each in ast.walk(node) if _is_plain_call(each)}
                found |= {node.name} if called & {"authorize", "_held"} else set()
    return found


def _is_plain_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def test_every_service_that_asks_for_a_right_is_tried_here():
    assert {name.partition(":")[0] for name in SERVICES} == services_that_ask_for_a_right() - READS


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_refuses_every_role_below_and_changes_nothing(scene, name):
    right, act = SERVICES[name]
    assert refused(right)
    for role in [*refused(right), "outsider"]:
        changed, refusal = attempt(partial(act, scene, scene.actors[role]))
        assert isinstance(refusal, NotPermitted), (role, refusal)
        assert refusal.detail.startswith("You may not "), role
        assert not changed, role
    changed, _ = attempt(partial(act, scene, scene.actors[who_may(right)]))
    assert changed, "what is refused could be done at all"


@pytest.mark.parametrize(("name", "at", "do"), PRESSES)
def test_a_press_is_refused_to_every_role_below_and_changes_nothing(scene, name, at, do):
    right = PRESSES[name, at, do]
    url = reverse(name, args=[scene.shop.slug, scene.ids[at]])
    form = {"do": do, "comment": "So."}

    def press(role: str) -> Any:
        return send(scene, role, name, "POST", url=url, body=form, undo=False).status_code

    for role in refused(right):
        assert attempt(partial(press, role)) == (set(), 403), role
    changed, status = attempt(partial(press, who_may(right)))
    assert changed
    assert status == 302


OF_STAGES = [
    (name, method)
    for name, method in CHANGES
    if {right.partition(".")[0] for right in ROUTES[name].ways[method].right.split()}
    & {"promotions", "rollouts", "deployments", "keys", "metrics", "events"}
]


@pytest.mark.parametrize(("name", "method"), OF_STAGES)
def test_an_address_refuses_every_role_below_and_changes_nothing(scene, name, method):
    roles = [role for role in ROLES if not ROUTES[name].ways[method].allows(role)]
    assert roles
    for role in roles:
        changed, answer = attempt(partial(send, scene, role, name, method, undo=False))
        assert (changed, answer.status_code) == (set(), 403), role
