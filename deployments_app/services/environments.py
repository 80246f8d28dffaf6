"""Environments, and the placements in them."""

import re
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from deployments_app.gates import GATE_LABELS
from deployments_app.models import Deployment, Environment
from deployments_app.plan_rules import DEFAULT_PLAN, validate_plan
from portal.core.actors import Actor
from portal.core.dispatch import enqueue_on_commit
from portal.core.errors import Conflict, InvalidInput, NotFound
from portal.core.events import record
from portal.core.jobs import wake_fields
from portal.core.models import Shop
from portal.core.permissions import authorize

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")
RESERVED = frozenset({"v2", "healthz"})
MAX_APPROVALS = 5
MAX_WARM_S = 30 * 86_400


def create_environment(
    actor: Actor,
    shop: Shop,
    slug: str,
    name: str,
    backend: str = "local",
    min_approvals: int = 1,
    blocking_gates: list[str] | None = None,
    default_plan: dict[str, Any] | None = None,
    keep_warm_s: int | None = None,
    namespace: str = "",
) -> Environment:
    """Make a place to run releases in."""
    authorize(actor, "deployments.write", shop)
    _check_name(slug, name)
    if backend not in settings.DEPLOYMENT_BACKENDS:
        known = ", ".join(settings.DEPLOYMENT_BACKENDS)
        raise InvalidInput(f"Unknown backend {backend[:40]!r}. Known are: {known}.")
    if not 1 <= min_approvals <= MAX_APPROVALS:
        raise InvalidInput(f"An environment asks 1 to {MAX_APPROVALS} approvals, not {min_approvals}.")
    unknown = sorted(set(blocking_gates or ()) - set(GATE_LABELS))
    if unknown:
        raise InvalidInput(f"Unknown gate {unknown[0][:40]!r}. Known are: {', '.join(GATE_LABELS)}.")
    if keep_warm_s is not None and not 0 <= keep_warm_s <= MAX_WARM_S:
        raise InvalidInput(f"The last good release stays warm for 0 to {MAX_WARM_S} seconds.")
    namespace = _check_namespace(backend, namespace)
    plan = validate_plan(default_plan) if default_plan else DEFAULT_PLAN.to_json()
    try:
        with transaction.atomic():
            environment = Environment.objects.create(
                shop=shop,
                slug=slug,
                name=name.strip(),
                backend=backend,
                namespace=namespace,
                **(wake_fields() if namespace else {}),
                min_approvals=min_approvals,
                blocking_gates=sorted(set(blocking_gates or ())),
                default_plan=plan,
                **({} if keep_warm_s is None else {"keep_warm_s": keep_warm_s}),
            )
            if namespace:
                enqueue_on_commit(environment)
            record(
                "environment.created",
                environment,
                actor=actor,
                shop=shop,
                backend=backend,
                min_approvals=min_approvals,
            )
    except IntegrityError as error:
        raise Conflict(f"There is an environment {slug} already. Choose another short name.") from error
    return environment


def _check_namespace(backend: str, namespace: str) -> str:
    """Choose the namespace of an environment in a cluster; the portal's settings list those it may use."""
    if backend != "kubernetes":
        if namespace:
            raise InvalidInput("Only an environment in a cluster has a namespace.")
        return ""
    allowed = settings.KUBERNETES_NAMESPACES
    if namespace and namespace not in allowed:
        raise InvalidInput(
            f"Aisle may not use the namespace {namespace[:63]!r}. KUBERNETES_NAMESPACES allows:"
            f" {', '.join(allowed)}."
        )
    return namespace or allowed[0]


def create_deployment(
    actor: Actor, shop: Shop, environment: Environment, slug: str, name: str, is_open: bool = False
) -> Deployment:
    """Make a placement: an address at the gateway that will serve one release after another."""
    authorize(actor, "deployments.write", shop)
    _check_name(slug, name)
    try:
        with transaction.atomic():
            # Locked: it must not be removed while a placement is made in it.
            here = Environment.objects.select_for_update(no_key=True).filter(shop=shop, removed_at=None)
            if not here.filter(pk=environment.pk).exists():
                raise NotFound("There is no such environment here.")
            deployment = Deployment.objects.create(
                shop=shop, environment=environment, slug=slug, name=name.strip(), is_open=is_open
            )
            record("deployment.created", deployment, actor=actor, shop=shop, slug=slug, is_open=is_open)
    except IntegrityError as error:
        raise Conflict(f"There is a placement {slug} already. Choose another short name.") from error
    return deployment


def _check_name(slug: str, name: str) -> None:
    if SLUG.match(slug) is None or slug in RESERVED:
        raise InvalidInput(
            "A short name has 1 to 40 small letters, digits and hyphens, and begins with a letter or digit.",
            code="invalid_slug",
        )
    if not name.strip() or len(name.strip()) > 80:
        raise InvalidInput("Give it a name of 1 to 80 characters.", code="invalid_name")
