"""The routes built last, handed out again as long as nothing that they are read from has changed.

Every agent asks ten times a second, and there is hardly ever anything new: one query that only compares takes
a thirtieth of the processor time of the five that read (.35 ms instead of 12).
"""

import time

from django.db import connection

from deployments_app.gateway_wire import Routes
from deployments_app.routing import REHEARSED_FOR, WATCHED_FOR, routes_for_gateway

MAX_AGE_S = 1.0  # keys expire, and measuring ends, by the clock alone
# What `routing` reads, without what is measured no more. Rows have ids, so that no two cancel each other out.
FINGERPRINT = """
SELECT bit_xor(hashtextextended(written, 0)) FROM (
    SELECT (id, slug)::text AS written FROM core_shop
    UNION ALL SELECT (id, backend, namespace)::text FROM deployments_app_environment
    UNION ALL SELECT (id, slug, shop_id, environment_id, salt, is_open, stable_id, canary_id,
                      canary_weight_pct, canary_mirror_pct)::text FROM deployments_app_deployment
    UNION ALL SELECT (release_id, endpoints, service, is_wanted)::text FROM deployments_app_workload
    UNION ALL SELECT (id, deployment_id, public_jwk, revoked_at, expires_at)::text
              FROM deployments_app_servingkey
    UNION ALL SELECT (id, deployment_id, kind, status, received_at, from_release_id, release_id)::text
              FROM deployments_app_rollout
              WHERE finished_at IS NULL OR received_at > now() - make_interval(secs => %s)
    UNION ALL SELECT (id, deployment_id, received_at, from_release_id, to_release_id)::text
              FROM deployments_app_rehearsal WHERE received_at > now() - make_interval(secs => %s)
) AS everything
"""

_known: dict[str, tuple[int | None, float, Routes]] = {}  # by scope: fingerprint, when built, the routes


def known_routes(scope: str) -> Routes:
    """Give `routes_for_gateway(scope)` as of now, save that the clock alone takes effect within a second."""
    with connection.cursor() as cursor:
        cursor.execute(FINGERPRINT, [WATCHED_FOR.total_seconds(), REHEARSED_FOR.total_seconds()])
        (fingerprint,) = cursor.fetchone()
    known = _known.get(scope)
    if known is not None and known[0] == fingerprint and time.monotonic() - known[1] < MAX_AGE_S:
        return known[2]
    routes = routes_for_gateway(scope)
    if routes.deployments:  # an agent can ask for any name
        _known[scope] = fingerprint, time.monotonic(), routes
    return routes
