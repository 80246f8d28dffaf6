"""Who may do what: one table of actions, checked in services."""

from dataclasses import dataclass

from portal.core.actors import Actor
from portal.core.errors import NotPermitted
from portal.core.models import Role, Shop

V, A, P, O, S = Role.VIEWER, Role.ANALYST, Role.APPROVER, Role.OPERATOR, Role.ADMIN  # noqa: E741


@dataclass(frozen=True)
class Action:
    """What may be done: by which roles, by tokens of which scope (None: never by a token)."""

    roles: frozenset[Role]
    scope: str | None
    sentence: str  # completes "You may not …"


def _action(roles: tuple[Role, ...], scope: str | None, sentence: str) -> Action:
    return Action(frozenset(roles), scope, sentence)


ACTIONS: dict[str, Action] = {
    "shop.read": _action((V, A, P, O, S), "*", "see this shop"),
    "datasets.read": _action((V, A, P, O, S), "datasets:read", "see data"),
    "datasets.download": _action((A, P, S), "datasets:read", "download data"),
    "datasets.write": _action((A, P, S), "datasets:write", "upload or change data"),
    "training.read": _action((V, A, P, O, S), "models:read", "see training runs"),
    "training.run": _action((A, P, S), "training:run", "train models"),
    "models.read": _action((V, A, P, O, S), "models:read", "see models"),
    "promotions.read": _action((V, A, P, O, S), "models:read", "see promotion requests"),
    "promotions.request": _action((A, P, S), "promotions:request", "ask for a promotion"),
    "promotions.comment": _action((A, P, O, S), "promotions:request", "comment on a promotion"),
    "promotions.review": _action((P, S), None, "approve or reject a promotion"),
    "rollouts.read": _action((V, A, P, O, S), "models:read", "see deployments and rollouts"),
    "rollouts.operate": _action((P, O, S), "rollouts:operate", "operate a rollout"),
    "rollouts.rollback": _action((P, O, S), "rollouts:rollback", "roll back"),
    "deployments.write": _action((O, S), "admin", "create or change deployments and environments"),
    "keys.write": _action((P, O, S), None, "issue or revoke serving keys"),
    "tokens.read": _action((V, A, P, O, S), None, "see tokens"),
    "tokens.write": _action((A, P, O, S), None, "create or revoke tokens"),
    "people.read": _action((V, A, P, O, S), "admin", "see people"),
    "people.write": _action((S,), None, "change people and roles"),
    "events.read": _action((V, A, P, O, S), "models:read", "see the activity"),
    "events.read_all": _action((P, O, S), "admin", "see everybody's activity"),
    "metrics.read": _action((V, A, P, O, S), "models:read", "see live numbers"),
    "events.write": _action((A, P, O, S), "events:write", "send what shoppers did"),
}

# Scopes a token can be given, each with the sentence shown beside its box.
SCOPES: dict[str, str] = {
    "datasets:read": "Read datasets and download their files",
    "datasets:write": "Upload data and change how it is read",
    "training:run": "Start and cancel training",
    "models:read": "Read runs, models, requests, rollouts and live numbers",
    "promotions:request": "Ask for a promotion and comment on it",
    "rollouts:operate": "Pause, resume, step and abort rollouts",
    "rollouts:rollback": "Roll back a deployment",
    "events:write": "Send what shoppers did: views, clicks, purchases, ratings",
    "admin": "Read people and everybody's activity; manage deployments",
}


def is_permitted(actor: Actor, action: str, shop: Shop | str) -> bool:
    """Tell whether the actor may do it in that shop."""
    return refusal(actor, action, shop) is None


def refusal(actor: Actor, action: str, shop: Shop | str) -> str | None:
    """Say why the actor may not do it in that shop, or None if it may."""
    if actor.kind == "system":
        return None
    rule = ACTIONS[action]
    role = actor.role_in(shop)
    if actor.token is not None:
        if rule.scope is None:
            return f"A token may not {rule.sentence}. Sign in and do it as a person."
        if rule.scope != "*" and rule.scope not in actor.token.scopes:
            return f"This token may not {rule.sentence}: it lacks the scope {rule.scope}."
    if role not in rule.roles:
        allowed = ", ".join(sorted(rule.roles))
        return f"You may not {rule.sentence}: you are {role or 'no member'} here. Ask one of: {allowed}."
    return None


def authorize(actor: Actor, action: str, shop: Shop | str) -> None:
    """Raise NotPermitted unless the actor may do it in that shop."""
    why_not = refusal(actor, action, shop)
    if why_not is not None:
        raise NotPermitted(why_not, action=action)
