"""Envoy's bootstrap: one listener, three watched files, the admin port on loopback, limits.

Everything that changes while serving (clusters, routes, keys) comes from files in folders that Envoy
watches, replaced by rename. A file that Envoy cannot take leaves the last good one in force.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments_app.gateway_answers import build_answers
from deployments_app.gateway_clusters import TYPE, Resource
from deployments_app.gateway_keys import FILTER as KEYS_FILTER
from deployments_app.gateway_keys import FILTER_TYPE as KEYS_FILTER_TYPE
from deployments_app.gateway_routes import ROUTE_CONFIGURATION

KINDS = ("clusters", "keys", "routes")  # in the order in which they are written
FETCHED = "fetched"  # a file that says there were routes; the readiness of a gateway's pod looks for it
STAT_PREFIX = "gateway"
BODY_MAX_BYTES = 1024 * 1024
LATENCY_BUCKETS_MS = (
    *(1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100),
    *(125, 150, 200, 250, 300, 400, 500, 750, 1000, 1500, 2000, 5000),
)


@dataclass(frozen=True)
class Ports:
    """Where the gateway listens, for shoppers and, on loopback only, for its agent."""

    host: str
    port: int
    admin_port: int


def live_file(folder: Path, kind: str) -> Path:
    """Name the file of one kind; each has its own folder, so that a change wakes one reader."""
    return folder / "live" / kind / f"{kind}.json"


def build_bootstrap(folder: Path, ports: Ports) -> dict[str, Any]:
    """Build the configuration that Envoy starts with."""
    return {
        "node": {"id": "gateway", "cluster": "aisle"},
        "admin": {"address": _address("127.0.0.1", ports.admin_port)},
        "stats_flush_on_admin": True,  # histograms are merged when they are read, not every 5 s
        "stats_config": {
            "histogram_bucket_settings": [
                {"match": {"prefix": "cluster."}, "buckets": list(LATENCY_BUCKETS_MS)}
            ]
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{TYPE}envoy.extensions.resource_monitors.downstream_connections.v3"
                        ".DownstreamConnectionsConfig",
                        "max_active_downstream_connections": 20_000,
                    },
                }
            ]
        },
        "dynamic_resources": {"cds_config": _watched(folder, "clusters")},
        "static_resources": {"listeners": [_listener(folder, ports)]},
    }


def _listener(folder: Path, ports: Ports) -> Resource:
    manager = _connection_manager(folder)
    return {
        "name": "gateway",
        "address": _address(ports.host, ports.port),
        "per_connection_buffer_limit_bytes": BODY_MAX_BYTES + 64 * 1024,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _connection_manager(folder: Path) -> Resource:
    return {
        "@type": f"{TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": STAT_PREFIX,
        "rds": {"route_config_name": ROUTE_CONFIGURATION, "config_source": _watched(folder, "routes")},
        "http_filters": [
            {
                "name": KEYS_FILTER,
                "config_discovery": {
                    "config_source": _watched(folder, "keys"),
                    "type_urls": [KEYS_FILTER_TYPE],
                },
            },
            _filter("buffer", "Buffer", max_request_bytes=BODY_MAX_BYTES),
            _filter("header_mutation", "HeaderMutation", mutations={"request_mutations": _strip()}),
            _filter("router", "Router", suppress_envoy_headers=True),
        ],
        "local_reply_config": build_answers(),
        "server_name": "aisle",
        "use_remote_address": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",  # an item's id may hold one
        "common_http_protocol_options": {
            "idle_timeout": "60s",
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "request_headers_timeout": "5s",
        "request_timeout": "10s",
        "stream_idle_timeout": "15s",
        "max_request_headers_kb": 32,
        "drain_timeout": "5s",
    }


def _strip() -> list[Resource]:
    """Take away what only the gateway may say, and what no model server needs to see.

    The router adds ours later, and the route is chosen by then, so a measurement's mark has done its work.
    """
    return [
        *({"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in ("x-aisle-", "x-envoy-")),
        *({"remove": name} for name in ("authorization", "cookie")),
    ]


def _filter(name: str, message: str, **config: Any) -> Resource:
    return {
        "name": f"envoy.filters.http.{name}",
        "typed_config": {"@type": f"{TYPE}envoy.extensions.filters.http.{name}.v3.{message}", **config},
    }


def _watched(folder: Path, kind: str) -> Resource:
    path = live_file(folder, kind)
    return {
        "resource_api_version": "V3",
        "initial_fetch_timeout": "0s",
        "path_config_source": {"path": str(path), "watched_directory": {"path": str(path.parent)}},
    }


def _address(host: str, port: int) -> Resource:
    return {"socket_address": {"address": host, "port_value": port}}
