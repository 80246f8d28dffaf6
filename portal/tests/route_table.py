"""Every route, who may use it by which method, and what it answers: the expectation, written out.

A way's `right` names lines of RIGHTS; a caller needs all of them. What nobody wrote down is refused:
other methods answer 405, other callers 403, whoever is not signed in 401 (API) or the way to the sign-in
page, and people of another shop 404.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from portal.tests.scene import BY_SCOPE

# Roles by first letter: viewer, analyst, approver (p: the product manager), operator, admin (s). Then the
# scope that lets a token do it: "-" for never, "*" for any.
RIGHTS = {
    "shop.read": ("vapos", "*"),
    "datasets.read": ("vapos", "datasets:read"),
    "datasets.download": ("aps", "datasets:read"),
    "datasets.write": ("aps", "datasets:write"),
    "training.read": ("vapos", "models:read"),
    "training.run": ("aps", "training:run"),
    "models.read": ("vapos", "models:read"),
    "promotions.read": ("vapos", "models:read"),
    "promotions.request": ("aps", "promotions:request"),
    "promotions.comment": ("apos", "promotions:request"),
    "promotions.review": ("ps", "-"),
    "rollouts.read": ("vapos", "models:read"),
    "rollouts.operate": ("pos", "rollouts:operate"),
    "rollouts.rollback": ("pos", "rollouts:rollback"),
    "deployments.write": ("os", "admin"),
    "keys.write": ("pos", "-"),
    "tokens.read": ("vapos", "-"),
    "tokens.write": ("apos", "-"),
    "people.read": ("vapos", "admin"),
    "people.write": ("s", "-"),
    "events.read": ("vapos", "models:read"),
    "events.read_all": ("pos", "admin"),
    "metrics.read": ("vapos", "models:read"),
    "events.write": ("apos", "events:write"),
}
LETTERS = {"viewer": "v", "analyst": "a", "approver": "p", "operator": "o", "admin": "s", "outsider": "s"}


@dataclass(frozen=True)
class Way:
    """One method of a route. `@name` anywhere stands for the id of that object in the scene."""

    right: str
    status: int = 200
    body: Any = None  # a dict for JSON or a form, bytes for a raw file
    events: int = 0  # written to the audit chain when it succeeds
    at: str = ""  # the object in the path, if not the route's
    query: Mapping[str, str] = field(default_factory=dict)
    but: Mapping[str, int] = field(default_factory=dict)  # caller -> another status

    def allows(self, caller: str) -> bool:
        for right in self.right.split():
            letters, scope = RIGHTS[right]
            if caller in LETTERS:
                if LETTERS[caller] not in letters:
                    return False
            elif scope == "-" or (caller in BY_SCOPE and scope not in ("*", BY_SCOPE[caller])):
                return False
        return True


@dataclass(frozen=True)
class Route:
    """`at` lists the objects of the path's arguments, in order, with commas between."""

    kind: str  # page, api
    at: str
    ways: Mapping[str, Way]


def page(at: str = "", **ways: Way) -> Route:
    return Route("page", at, ways)


def api(at: str = "", **ways: Way) -> Route:
    return Route("api", at, ways)


def read(right: str, **options: Any) -> Way:
    return Way(right, **options)


def do(right: str, status: int, body: Any = None, events: int = 1, **options: Any) -> Way:
    return Way(right, status, {} if body is None else body, events, **options)


NOT_MINE = {"approver": 404, "operator": 404}  # a token of the admin's: invisible to others
ONLY_WHO_ASKED = {"approver": 403, "admin": 403, "token promotions:request": 403}
ITEMS = b"item_id,title\ni1,One\n"
RATINGS = b"user_id,item_id,rating\nu1,i1,5\nu2,i2,4\n"
TRAINING = {"dataset_version": "@version", "model": "shop-main", "algorithms": [{"algorithm": "item_knn"}]}
COLUMNS = {"lock_version": "@uploading version", "file__user": "0", "file__item": "1"}
EVENT = {"event_id": "e1", "type": "search", "user_id": "u1"}
PAIR = {"user_id": "u1", "item_id": "i1"}
MEMBER = {"name": "New Person", "email": "new@example.com", "username": "new-person", "role": "viewer"}
TOKEN = {"name": "nightly", "scopes": ["models:read"], "days": 30}

ROUTES: dict[str, Route] = {
    # the shell's pages
    "home": page(GET=read("shop.read")),
    "activity": page(GET=read("events.read")),
    "jobs": page(GET=read("shop.read")),
    "settings": page(GET=read("shop.read")),
    "integrate": page(GET=read("shop.read")),
    "people": page(GET=read("people.read"), POST=do("people.write", 200, MEMBER)),
    "person_change": page("member", POST=do("people.write", 302, {"role": "operator"})),
    "tokens": page(GET=read("tokens.read"), POST=do("tokens.write", 200, TOKEN)),
    "token_revoke": page("token", POST=do("tokens.write", 302, but={**NOT_MINE, "analyst": 404})),
    # data
    "data_list": page(GET=read("datasets.read")),
    "data_new": page(
        GET=read("datasets.write"),
        POST=do("datasets.write", 302, {"name": "new", "file": "@file"}, events=3),
    ),
    "data_from_ratings": page(POST=do("datasets.write", 302, {"dataset": "@dataset"}, events=2)),
    "sample_file": page("small", GET=read("shop.read")),
    "dataset_version_detail": page("version", GET=read("datasets.read")),
    "dataset_version_status": page("version", GET=read("datasets.read")),
    "version_columns": page("uploading", POST=do("datasets.write", 302, COLUMNS, events=2)),
    "version_cancel": page("uploading", POST=do("datasets.write", 302)),
    "version_retry": page("canceled", POST=do("datasets.write", 302)),
    "version_file": page("version,interactions", GET=read("datasets.download", events=1)),
    # training and models
    "run_list": page(GET=read("training.read")),
    "run_new": page(
        GET=read("training.run"),
        POST=do("training.run", 302, "@training form", events=3, query={"data": "@version"}),
    ),
    "run_estimate": page(
        POST=do("training.run", 200, "@training form", events=0, query={"data": "@version"}),
    ),
    "run_detail": page("run", GET=read("training.read")),
    "run_status": page("run", GET=read("training.read")),
    "run_cancel": page("queued run", POST=do("training.run", 302)),
    "compare": page(GET=read("training.read", query={"group": "@group"})),
    "compare_status": page(GET=read("training.read", query={"group": "@group"})),
    "model_list": page(GET=read("models.read")),
    "model_detail": page("model", GET=read("models.read")),
    "version_detail": page("model version", GET=read("models.read")),
    "version_card": page("model version", GET=read("models.read")),
    # requests, placements and rollouts
    "approvals": page(GET=read("promotions.read")),
    "promotion_new": page(
        GET=read("promotions.request", query={"version": "@model version"}),
        POST=do(
            "promotions.request",
            302,
            {"version": "@model version", "deployment": "@deployment", "plan": "careful"},
        ),
    ),
    "promotion_detail": page("request", GET=read("promotions.read")),
    "promotion_changes": page("request", GET=read("promotions.read")),
    "promotion_decide": page(
        "request",
        POST=do("promotions.review", 302, {"do": "approve", "comment": "It looks right."}, events=2),
    ),
    "deployment_list": page(GET=read("rollouts.read")),
    "deployment_new": page(
        GET=read("deployments.write"),
        POST=do("deployments.write", 302, {"name": "Cart", "slug": "cart", "environment": "@environment"}),
    ),
    "environment_detail": page("environment", GET=read("rollouts.read")),
    "environment_remove": page("empty environment", POST=do("deployments.write", 302)),
    "deployment_detail": page("deployment", GET=read("rollouts.read")),
    "deployment_status": page("deployment", GET=read("rollouts.read")),
    "time_machine": page("deployment", GET=read("rollouts.read")),
    "deployment_rehearse": page("deployment", POST=do("rollouts.rollback", 302)),
    "deployment_rollback": page("deployment", POST=do("rollouts.rollback", 302)),
    "deployment_key_new": page("deployment", POST=do("keys.write", 200, {"name": "site", "days": "30"})),
    "deployment_key_revoke": page("deployment,key", POST=do("keys.write", 302)),
    "rollout_detail": page("progressing", GET=read("rollouts.read")),
    "rollout_status": page("progressing", GET=read("rollouts.read")),
    "rollout_act": page("progressing", POST=do("rollouts.operate", 302, {"do": "pause"})),
    "rollout_note": page("progressing", POST=do("rollouts.operate", 302, {"comment": "Because."})),
    "live_numbers": page(
        "deployment",
        GET=read("metrics.read"),
        POST=do("metrics.read deployments.write", 302, {"click_min": "10", "purchase_h": "2"}),
    ),
    "consistency": page(
        "deployment", GET=read("metrics.read"), POST=do("rollouts.operate metrics.read", 302, events=0)
    ),
    "alert_acknowledge": page("alert", POST=do("rollouts.operate", 302)),
    # the API of the shell
    "api_job": api("run", GET=read("training.read")),
    "api_job_events": api("run", GET=read("training.read")),
    "api_me": api(GET=read("shop.read")),
    "api_permissions": api(GET=read("shop.read")),
    "api_events": api(GET=read("events.read")),
    "api_members": api(GET=read("people.read"), POST=do("people.write", 201, MEMBER)),
    "api_member": api(
        "member",
        PATCH=do("people.write", 200, {"role": "operator"}, but={"outsider's token": 403}),
        DELETE=do("people.write", 204, but={"outsider's token": 403}),
    ),
    "api_tokens": api(GET=read("tokens.read"), POST=do("tokens.write", 201, TOKEN)),
    "api_token": api(
        "token", DELETE=do("tokens.write", 204, but={**NOT_MINE, "analyst": 404, "outsider's token": 403})
    ),
    # the API of data
    "api_datasets": api(GET=read("datasets.read"), POST=do("datasets.write", 201, {"name": "new"})),
    "api_dataset": api("dataset", GET=read("datasets.read")),
    "api_dataset_versions": api("dataset", GET=read("datasets.read"), POST=do("datasets.write", 201)),
    "api_dataset_from_ratings": api("dataset", POST=do("datasets.write", 202, events=2)),
    "api_dataset_version": api(
        "version",
        GET=read("datasets.read"),
        PATCH=do("datasets.read datasets.write", 200, {"roles": {"user": 0, "item": 1}}, at="uploading"),
    ),
    "api_dataset_file": api(
        "version",
        GET=read("datasets.read datasets.download", events=1),
        PUT=do("datasets.read datasets.write", 200, RATINGS, at="uploading"),
    ),
    "api_dataset_items": api(
        "version",
        GET=read("datasets.read datasets.download", events=1),
        PUT=do("datasets.read datasets.write", 200, ITEMS, at="uploading"),
    ),
    "api_dataset_check": api("uploading", POST=do("datasets.read datasets.write", 202)),
    "api_dataset_cancel": api("uploading", POST=do("datasets.read datasets.write", 200)),
    "api_dataset_retry": api("canceled", POST=do("datasets.read datasets.write", 201)),
    # the API of training and models
    "api_training_plan": api("version", GET=read("datasets.read training.read")),
    "api_training_estimate": api(
        POST=do(
            "datasets.read training.read",
            200,
            {"dataset_version": "@version", "algorithms": [{"algorithm": "als"}]},
            events=0,
        ),
    ),
    "api_algorithms": api(GET=read("training.read")),
    "api_training_runs": api(GET=read("training.read"), POST=do("training.run", 202, TRAINING, events=2)),
    "api_training_run": api("run", GET=read("training.read")),
    "api_training_log": api("run", GET=read("training.read")),
    "api_training_cancel": api("queued run", POST=do("training.read training.run", 202)),
    "api_comparison": api(GET=read("training.read", query={"runs": "@runs"})),
    "api_models": api(GET=read("models.read")),
    "api_model": api("model", GET=read("models.read")),
    "api_model_versions": api(GET=read("models.read")),
    "api_model_version": api("model version", GET=read("models.read")),
    "api_model_card": api("model version", GET=read("models.read")),
    "api_manifest": api("model version", GET=read("models.read")),
    "api_shoppers": api("model version", GET=read("models.read")),
    "api_preview": api("model version", GET=read("models.read", query={"user": "u1"})),
    # the API of deployments
    "api_environments": api(
        GET=read("rollouts.read"), POST=do("deployments.write", 201, {"slug": "stage", "name": "Stage"})
    ),
    "api_environment": api(
        "environment",
        GET=read("rollouts.read"),
        DELETE=do("deployments.write", 204, at="empty environment"),
    ),
    "api_environment_access": api("environment", GET=read("rollouts.read")),
    "api_deployments": api(
        GET=read("rollouts.read"),
        POST=do("deployments.write", 201, {"environment": "@environment", "slug": "cart", "name": "Cart"}),
    ),
    "api_deployment": api("deployment", GET=read("rollouts.read")),
    "api_deployment_events": api("deployment", GET=read("rollouts.read")),
    "api_deployment_metrics": api("deployment", GET=read("metrics.read")),
    "api_feedback_window": api(
        "deployment",
        GET=read("metrics.read"),
        PUT=do("metrics.read deployments.write", 200, {"click_s": 60, "purchase_s": 3600}),
    ),
    "api_feedback_events": api(POST=do("events.write", 202, [EVENT], events=0)),
    "api_ratings": api(
        POST=do("events.write", 201, {**PAIR, "value": 4.5}, events=0),
        DELETE=do("events.write", 204, events=0, query=PAIR),
    ),
    "api_consistency_checks": api(
        "deployment", GET=read("metrics.read"), POST=do("rollouts.operate", 202, events=0)
    ),
    "api_alerts": api(GET=read("metrics.read")),
    "api_alert_acknowledge": api("alert", POST=do("rollouts.operate", 200)),
    "api_history": api("deployment", GET=read("rollouts.read")),
    "api_rehearsals": api("deployment", GET=read("rollouts.read"), POST=do("rollouts.rollback", 201)),
    "api_rollback": api("deployment", POST=do("rollouts.rollback", 202)),
    "api_serving_keys": api(
        "deployment", GET=read("rollouts.read"), POST=do("keys.write", 201, {"name": "site"})
    ),
    "api_serving_key": api("deployment,key", DELETE=do("keys.write", 204)),
    "api_releases": api(GET=read("rollouts.read")),
    "api_release_address": api("release", DELETE=do("deployments.write", 204)),
    "api_release": api("release", GET=read("rollouts.read")),
    "api_promotions": api(
        GET=read("promotions.read"),
        POST=do("promotions.request", 201, {"model_version": "@model version", "deployment": "@deployment"}),
    ),
    "api_promotion_preview": api(
        POST=do(
            "promotions.request",
            200,
            {"model_version": "@model version", "deployment": "@deployment"},
            events=0,
        )
    ),
    "api_plan_templates": api(GET=read("promotions.read")),
    "api_promotion": api("request", GET=read("promotions.read")),
    "api_promotion_changes": api("request", GET=read("promotions.read")),
    "api_promotion_approve": api(
        "request", POST=do("promotions.review", 200, {"comment": "It looks right."}, events=2)
    ),
    "api_promotion_reject": api("request", POST=do("promotions.review", 200, {"comment": "Not yet."})),
    "api_promotion_withdraw": api("request", POST=do("promotions.request", 200, but=ONLY_WHO_ASKED)),
    "api_promotion_start": api("approved request", POST=do("rollouts.operate", 202)),
    "api_promotion_comments": api("request", POST=do("promotions.comment", 201, {"comment": "Why?"})),
    "api_rollouts": api(GET=read("rollouts.read")),
    "api_rollout": api("progressing", GET=read("rollouts.read")),
    "api_rollout_events": api("progressing", GET=read("rollouts.read")),
    "api_rollout_pause": api("progressing", POST=do("rollouts.operate", 200)),
    "api_rollout_resume": api("paused", POST=do("rollouts.operate", 200)),
    "api_rollout_step": api("progressing", POST=do("rollouts.operate", 200)),
    "api_rollout_promote": api("progressing", POST=do("rollouts.operate", 200, events=2)),
    "api_rollout_abort": api("progressing", POST=do("rollouts.operate", 200)),
    "api_rollout_conclude": api("testing", POST=do("rollouts.operate", 200, {"keep": "new"}, events=2)),
    "api_rollout_note": api("progressing", PUT=do("rollouts.operate", 200, {"comment": "Because."})),
}

# Outside of shops: method -> status for whoever is not signed in, and for whoever is.
OPEN: dict[str, dict[str, tuple[int, int]]] = {
    "start": {"GET": (302, 302)},
    "sign_in": {"GET": (200, 302), "POST": (200, 302)},
    "sign_in_by_link": {"GET": (200, 200), "POST": (302, 302)},
    "sign_out": {"POST": (302, 302)},
    "password": {"GET": (302, 200), "POST": (302, 400)},
    "theme": {"POST": (302, 302)},
    "csp_report": {"POST": (204, 204)},
    "healthz": {"GET": (200, 200)},
    "metrics": {"GET": (200, 200)},
    "api_docs": {"GET": (200, 200)},
    "openapi": {"GET": (200, 200)},
    "gateway_artifact": {"GET": (404, 404)},  # its signature opens it
}
KNOWS_WHO = {"sign_in"}  # whoever is signed in is sent on, by any method
ASKS_WHO_FIRST = {"start", "password", "sign_out"}  # whoever is not signed in is sent to do so, by any method
AGENTS = {
    "gateway_artifacts": "GET",
    "gateway_routes": "GET",
    "gateway_shoppers": "GET",
    "gateway_report": "POST",
}  # 401 for everybody but an agent
