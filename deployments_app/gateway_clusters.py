"""The gateway's clusters: which servers a release has, and where an arm's requests go when they fail.

Per release with an arm, by name:

- `release/{r}`        its servers; may be empty or wholly ejected, then the arm falls to the next in its list
- `last/{r}`           the same servers as a last resort: ejection never leaves it without one
- `fallback/{r}/{s}`   the servers of stable `s`, answering for arm `r`; apart, so that it is counted
- `arm/{r}/{s}`        what routes point at: an aggregate of `release/{r}`, `fallback/{r}/{s}`
- `arm/{r}/{r}`        the same for a release that is stable, or would be after a rollback: `last/{r}`
- `probe/{r}/{s}`      the same servers for measurements and previews, so that they never count as shoppers
- `shadow/{r}`         the same servers for copies of requests: what they do harms no shopper's request

A name never changes its list, and the arms a rollback needs exist before it: it only changes routes.
"""

import ipaddress
from collections.abc import Iterator
from typing import Any

from deployments_app.gateway_wire import Arm, DeploymentRoute, split_endpoint

TYPE = "type.googleapis.com/"
Resource = dict[str, Any]

CONNECT_TIMEOUT = "0.25s"
# A cluster's own name stands for every ready server: asked for again and again, since they come and go.
BY_NAME = {"type": "STRICT_DNS", "dns_refresh_rate": "1s", "dns_lookup_family": "V4_PREFERRED"}
# Model servers close idle connections after 5 s or later: Envoy must be first, or its next request is reset.
IDLE_TIMEOUT = "4s"
# What one release may hold at a time; beyond it a request is refused at once (503, Retry-After), and counted.
MAX_CONNECTIONS, MAX_PENDING, MAX_REQUESTS = 512, 256, 1024


def arm_cluster(release_id: str, stable: str) -> str:
    """Name the cluster that shoppers' requests of an arm go to."""
    return f"arm/{release_id}/{stable}"


def probe_cluster(release_id: str, stable: str) -> str:
    """Name the cluster that measurements of an arm go to."""
    return f"probe/{release_id}/{stable}"


def shadow_cluster(release_id: str) -> str:
    """Name the cluster that copies of requests go to."""
    return f"shadow/{release_id}"


def release_cluster(release_id: str) -> str:
    """Name the cluster of a release's own servers, for an arm that has stable to fall back on."""
    return f"release/{release_id}"


def last_cluster(release_id: str) -> str:
    """Name the cluster of a release's own servers, when there is nothing to fall back on."""
    return f"last/{release_id}"


def fallback_cluster(release_id: str, stable: str) -> str:
    """Name the cluster of stable's servers that answers for an arm."""
    return f"fallback/{release_id}/{stable}"


def is_served(deployment: DeploymentRoute) -> bool:
    """Tell whether any server stands behind the arms that have traffic, or behind stable."""
    return any(
        arm.endpoints for arm in deployment.arms if arm.weight_pct or arm.release_id == deployment.stable
    )


def build_clusters(deployments: tuple[DeploymentRoute, ...]) -> list[Resource]:
    """Build every cluster that the routes of these deployments may point at."""
    return [cluster for deployment in deployments for cluster in _deployment_clusters(deployment)]


def _deployment_clusters(deployment: DeploymentRoute) -> Iterator[Resource]:
    stable = next((arm for arm in deployment.arms if arm.release_id == deployment.stable), None)
    for arm in deployment.arms:
        own, last = arm.release_id, last_cluster(arm.release_id)
        yield _servers(last, arm, is_last=True)
        yield _ordered(arm_cluster(own, own), [last])
        yield _ordered(probe_cluster(own, own), [last])
        if deployment.shadow is not None and deployment.shadow.release_id == own:
            yield _servers(shadow_cluster(own), arm, is_last=True)
        if stable is not None and stable is not arm:
            fallback = fallback_cluster(own, stable.release_id)
            yield _servers(release_cluster(own), arm, is_last=False)
            yield _servers(fallback, stable, is_last=True)
            yield _ordered(arm_cluster(own, stable.release_id), [release_cluster(own), fallback])
            yield _ordered(
                probe_cluster(own, stable.release_id), [release_cluster(own), last_cluster(stable.release_id)]
            )


def _servers(name: str, arm: Arm, *, is_last: bool) -> Resource:
    """Build a cluster of an arm's servers, bad ones ejected: all of them only when `is_last` is not set.

    The overprovisioning factor keeps an arm's requests in the arm while one server of it is well: by
    default half its servers ejected would already send 30 % of them to stable.
    """
    return {
        "@type": f"{TYPE}envoy.config.cluster.v3.Cluster",
        "name": name,
        **({"type": "STATIC"} if all(map(_is_address, arm.endpoints)) else BY_NAME),
        "connect_timeout": CONNECT_TIMEOUT,
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [_endpoint(each) for each in arm.endpoints]}],
            "policy": {"overprovisioning_factor": 100_000},
        },
        "common_lb_config": {"healthy_panic_threshold": {"value": 50 if is_last else 0}},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{TYPE}envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"idle_timeout": IDLE_TIMEOUT},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
        "circuit_breakers": _limits(),
        "outlier_detection": {
            "consecutive_5xx": 5,
            "consecutive_gateway_failure": 3,
            "enforcing_consecutive_gateway_failure": 100,
            "enforcing_success_rate": 0,
            "enforcing_failure_percentage": 0,
            "interval": "0.5s",
            "base_ejection_time": "1s",
            "max_ejection_time": "5s",
            "max_ejection_percent": 100,
            "max_ejection_time_jitter": "0.2s",
        },
    }


def _endpoint(endpoint: str) -> Resource:
    host, port = split_endpoint(endpoint)
    return {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}


def _is_address(endpoint: str) -> bool:
    try:
        ipaddress.ip_address(split_endpoint(endpoint)[0])
    except ValueError:
        return False
    return True


def _ordered(name: str, clusters: list[str]) -> Resource:
    """Build a cluster that takes the first of its list which has a server that is well."""
    return {
        "@type": f"{TYPE}envoy.config.cluster.v3.Cluster",
        "name": name,
        "connect_timeout": CONNECT_TIMEOUT,
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": _limits(),
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {
                "@type": f"{TYPE}envoy.extensions.clusters.aggregate.v3.ClusterConfig",
                "clusters": clusters,
            },
        },
    }


def members_of(cluster: Resource) -> list[str]:
    """List the clusters that an aggregate takes from; none of a cluster of servers."""
    return [*cluster.get("cluster_type", {}).get("typed_config", {}).get("clusters", ())]


def _limits() -> Resource:
    """Bound what one release may hold: enough for a burst, not enough to pile up behind a slow server."""
    return {
        "thresholds": [
            {
                "max_connections": MAX_CONNECTIONS,
                "max_pending_requests": MAX_PENDING,
                "max_requests": MAX_REQUESTS,
                "retry_budget": {"budget_percent": {"value": 50}, "min_retry_concurrency": 64},
            }
        ]
    }
