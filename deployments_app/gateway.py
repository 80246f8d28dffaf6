"""The gateway in front of the model servers: from plain routes to what Envoy reads. Pure.

`gateway_clusters` says which servers, `gateway_routes` which shopper goes where, `gateway_keys` who may ask,
`gateway_answers` what is said to the others, `gateway_bootstrap` how Envoy starts.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from deployments_app.gateway_bootstrap import Ports, build_bootstrap
from deployments_app.gateway_clusters import Resource, build_clusters
from deployments_app.gateway_keys import build_keys
from deployments_app.gateway_report import (
    ArmReport,
    Pairs,
    Report,
    WatchReport,
    report_from_json,
    report_to_json,
)
from deployments_app.gateway_routes import build_routes
from deployments_app.gateway_wire import (
    Arm,
    DeploymentRoute,
    Routes,
    Shadow,
    Watch,
    WireError,
    routes_from_json,
    routes_to_json,
)

__all__ = [
    "Arm",
    "ArmReport",
    "DeploymentRoute",
    "Pairs",
    "Ports",
    "Report",
    "Routes",
    "Shadow",
    "Watch",
    "WatchReport",
    "WatchedFile",
    "WireError",
    "build_bootstrap",
    "build_files",
    "report_from_json",
    "report_to_json",
    "routes_from_json",
    "routes_to_json",
]


@dataclass(frozen=True)
class WatchedFile:
    """One file for Envoy, and the version by which Envoy will name it once it is in force."""

    version: str
    content: str


def build_files(
    routes: Routes,
    *,
    agent_key: dict[str, Any],
    probe_mark: str,
    lingering: Iterable[Resource] = (),
) -> dict[str, WatchedFile]:
    """Build each watched file, by kind, in the order in which they are to be written.

    Clusters and keys come first: routes may only point at what is there. `lingering` are clusters of
    earlier routes, kept while a request may still be under way in them. The routes have the portal's
    version, the others a hash, so that what has not changed need not be written.
    """
    clusters = build_clusters(routes.deployments)
    names = {cluster["name"] for cluster in clusters}
    clusters += [cluster for cluster in lingering if cluster["name"] not in names]
    return {
        "clusters": _watched_file(clusters),
        "keys": _watched_file(build_keys(routes.deployments, agent_key)),
        "routes": _watched_file(build_routes(routes, probe_mark), routes.version),
    }


def _watched_file(resources: list[Resource], version: str | None = None) -> WatchedFile:
    body = orjson.dumps(resources).decode()
    version = version or hashlib.sha256(body.encode()).hexdigest()[:20]
    return WatchedFile(version, f'{{"version_info":"{version}","resources":{body}}}')
