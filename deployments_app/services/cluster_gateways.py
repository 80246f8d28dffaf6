"""The gateways of an environment in a cluster: made, and made again, like the servers of releases."""

import json
import logging
from datetime import UTC, datetime

from django.conf import settings
from django.utils import timezone

from deployments_app.backends.base import GatewayBackend, GatewaySpec, GatewayStatus
from deployments_app.gateway_tokens import environment_token
from deployments_app.gateway_wire import routes_to_json
from deployments_app.models import Environment
from deployments_app.routing import routes_for_gateway
from deployments_app.services.removals import forget_environment
from deployments_app.services.workloads import backend_for
from portal.core.errors import BackendError
from portal.core.jobs import claim, release

LOOK_EVERY_S = 5.0
LOOK_SOON_S = 0.5
LEASE_S = 20.0
KEPT_MAX_BYTES = 900_000  # a Secret holds 1 MiB
NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)

log = logging.getLogger("aisle.gateways")


def gateway_spec(environment: Environment) -> GatewaySpec:
    """Describe an environment's gateways to its backend."""
    return GatewaySpec(
        key=environment.pk,
        portal_url=settings.CLUSTER_PORTAL_URL,
        token=environment_token(environment.pk),
        replicas=settings.KUBERNETES_GATEWAYS,
        routes=_routes_to_keep(environment),
    )


def _routes_to_keep(environment: Environment) -> str:
    """Write what a gateway begins with that is started while the portal is down."""
    routes = routes_for_gateway(environment.gateway_scope)
    # Nobody takes the time from what is kept, and the same routes have to read the same.
    text = json.dumps(routes_to_json(routes, NO_TIME), separators=(",", ":"))
    if len(text) > KEPT_MAX_BYTES:
        log.warning("The routes of %s are too large to be kept in its cluster.", environment.pk)
        return ""
    return text


def reconcile_environment(environment_id: str) -> None:
    """Bring an environment's gateways in line; does nothing while another worker is at it."""
    claimed = claim(Environment, environment_id, statuses=(), lease_s=LEASE_S)
    if claimed is None:
        return
    due_in_s: float | None = LOOK_SOON_S
    try:
        due_in_s = _reconcile(claimed.job)
    finally:
        release(claimed, due_in_s=due_in_s)


def _reconcile(environment: Environment) -> float | None:
    if not environment.namespace:
        return None
    try:
        backend = backend_for(environment)
        if not isinstance(backend, GatewayBackend):
            return None
        if environment.removed_at is not None:
            return _remove(environment, backend)
        backend.apply_gateway(gateway_spec(environment))
        status = backend.observe_gateway(environment.pk)
    except BackendError as error:
        Environment.objects.filter(pk=environment.pk).update(gateways_reason=error.detail[:300])
        return LOOK_EVERY_S
    _note(environment, status)
    return LOOK_EVERY_S if status.is_ready else LOOK_SOON_S


def _remove(environment: Environment, backend: GatewayBackend) -> float | None:
    backend.remove_gateway(environment.pk)
    if backend.observe_gateway(environment.pk).exists:
        return LOOK_SOON_S
    forget_environment(environment)
    return None


def _note(environment: Environment, status: GatewayStatus) -> None:
    Environment.objects.filter(pk=environment.pk).update(
        gateways_ready=status.ready,
        gateways_reason="" if status.is_ready else (status.reason or "the gateways are starting")[:300],
        gateways_address=status.address or environment.gateways_address,
        gateways_seen_at=timezone.now(),
    )
