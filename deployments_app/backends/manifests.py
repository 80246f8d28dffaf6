"""The objects of one release in a cluster. Pure: from a spec and settings to dictionaries, as in YAML."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from deployments_app.backends.base import ReleaseKey, ReleaseSpec
from deployments_app.fetch_artifact import WITHOUT_STORE

Manifest = dict[str, Any]

MANAGER = "aisle"  # the field manager, and the value of app.kubernetes.io/managed-by
RELEASE_LABEL = "aisle.dev/release-id"
KINDS = (  # of a release, in the order in which they are made; removed in reverse, the Deployment last
    "ServiceAccount",
    "Secret",
    "NetworkPolicy",
    "Service",
    "Deployment",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
)
USER = 10001  # the image's
PORT, CACHE_PORT = 8080, 8081
MIB = 1024**2


@dataclass(frozen=True)
class ClusterSettings:
    """What the objects of every release share.

    drain_s: how long a server goes on answering after it was told to end, longer than names are kept.
    store_url: the S3 store to which the portal may send whoever fetches an artifact, if there is one.
    """

    image: str
    pull_policy: str = "IfNotPresent"
    drain_s: int = 10
    domain: str = "cluster.local"
    gateway_type: str = "ClusterIP"
    store_url: str = ""


def object_name(key: str) -> str:
    """Name the objects of a release (or environment) by its id, as a DNS label."""
    return key.lower().replace("_", "-")


def cache_name(environment: str) -> str:
    """Name the Service of the caches beside an environment's gateways; pods of its namespace find it so."""
    return f"gateway-{object_name(environment)}-cache"


def service_address(key: ReleaseKey, namespace: str, domain: str) -> str:
    """Name the address that always leads to the ready servers of a release."""
    return f"{object_name(key)}.{namespace}.svc.{domain}:{PORT}"


def release_selector(key: ReleaseKey) -> str:
    """Select the objects of a release."""
    return f"{RELEASE_LABEL}={key}"


def build_release(spec: ReleaseSpec, settings: ClusterSettings, *, size_bytes: int) -> list[Manifest]:
    """Build every object of a release, in the order in which they are to be made."""
    objects = [
        _object("v1", "ServiceAccount", spec, {"automountServiceAccountToken": False}),
        _object("v1", "Secret", spec, {"type": "Opaque", "data": _secret(spec, settings)}),
        _object("networking.k8s.io/v1", "NetworkPolicy", spec, {"spec": _network_policy(spec, settings)}),
        _object("v1", "Service", spec, {"spec": _service(spec)}),
        _object("apps/v1", "Deployment", spec, {"spec": _deployment(spec, settings, size_bytes)}),
        _object("policy/v1", "PodDisruptionBudget", spec, {"spec": _disruption_budget(spec)}),
    ]
    if spec.autoscale is not None:
        objects.append(
            _object("autoscaling/v2", "HorizontalPodAutoscaler", spec, {"spec": _autoscaler(spec)})
        )
    return objects


def labels(component: str, instance: str, version: str = "") -> dict[str, str]:
    """Build the labels that every object of Aisle carries."""
    found = {
        "app.kubernetes.io/name": f"aisle-{component}",
        "app.kubernetes.io/instance": instance,
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": "aisle",
        "app.kubernetes.io/managed-by": MANAGER,
    }
    return found | ({"app.kubernetes.io/version": version} if version else {})


def pod_security() -> Manifest:
    """Build what Pod Security's level *restricted* asks of a pod."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """Build what it asks of a container, and a root that is never written."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def ports_of(*urls: str) -> list[Manifest]:
    """List the ports of addresses, for a NetworkPolicy; an empty address has none."""
    parts = [urlsplit(url) for url in urls if url]
    ports = {each.port or (443 if each.scheme == "https" else 80) for each in parts}
    return [{"protocol": "TCP", "port": port} for port in sorted(ports)]


def encode(files: Mapping[str, str]) -> dict[str, str]:
    """Encode a Secret's files."""
    return {name: base64.b64encode(text.encode()).decode() for name, text in files.items()}


def _object(version: str, kind: str, spec: ReleaseSpec, content: Manifest) -> Manifest:
    annotations = {
        "aisle.dev/release-id": spec.key,
        "aisle.dev/artifact-sha256": spec.digest,
        **({"aisle.dev/change-request": spec.change_request} if spec.change_request else {}),
    }
    metadata = {
        "name": object_name(spec.key),
        "labels": _labels(spec),
        "annotations": annotations,
    }
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}


def _labels(spec: ReleaseSpec) -> dict[str, str]:
    own = labels("model-server", object_name(spec.key), str(spec.model_version))
    return own | {RELEASE_LABEL: spec.key}


def _selector(spec: ReleaseSpec) -> Manifest:
    return {"matchLabels": {RELEASE_LABEL: spec.key}}


def _secret(spec: ReleaseSpec, settings: ClusterSettings) -> dict[str, str]:
    """Build the release's private files: what its servers are told, its key, where its artifact is."""
    config = {
        "artifact": "/model/artifact",
        **spec.facts,
        "host": "0.0.0.0",  # noqa: S104 - inside the pod; the NetworkPolicy says who may come
        "port": PORT,
        "signing_key_file": "/release/signing.key",
        "drain_s": settings.drain_s,
        **({"rlimits": {"cpu_s": spec.cpu_s}} if spec.cpu_s else {}),
        "numba_cache_dir": "/tmp/kernels",  # noqa: S108 - the pod's own
    }
    parts = urlsplit(spec.artifact_url)
    cached = f"{_cache_url(spec)}{parts.path}?{parts.query}" if spec.environment else ""
    by_itself = spec.artifact_url + WITHOUT_STORE if settings.store_url else ""
    sources = [url for url in (cached, spec.artifact_url, by_itself) if url]
    return encode(
        {
            "config.json": json.dumps(config, sort_keys=True),
            "signing.key": spec.signing_key,
            "sources.json": json.dumps(sources),
        }
    )


def _cache_url(spec: ReleaseSpec) -> str:
    return f"http://{cache_name(spec.environment)}:{CACHE_PORT}"


def _service(spec: ReleaseSpec) -> Manifest:
    """Build a headless Service: its name leads to each ready server, so that the gateway sees them apart."""
    return {
        "clusterIP": "None",
        "selector": {RELEASE_LABEL: spec.key},
        "ports": [{"name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP"}],
    }


def _disruption_budget(spec: ReleaseSpec) -> Manifest:
    """Build a budget that lets nodes be drained one server at a time, a lone one too."""
    return {"maxUnavailable": 1, "selector": _selector(spec), "unhealthyPodEvictionPolicy": "AlwaysAllow"}


def _autoscaler(spec: ReleaseSpec) -> Manifest:
    assert spec.autoscale is not None
    metric = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": spec.autoscale.cpu_pct}}
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": object_name(spec.key)},
        "minReplicas": spec.replicas,
        "maxReplicas": spec.autoscale.max_replicas,
        "metrics": [{"type": "Resource", "resource": metric}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": spec.autoscale.calm_s}},
    }


def _network_policy(spec: ReleaseSpec, settings: ClusterSettings) -> Manifest:
    """Let in the gateway, and the worker that measures; let out to names, and to where the artifact is."""
    callers = {
        "matchLabels": {"app.kubernetes.io/part-of": "aisle"},
        "matchExpressions": [
            {"key": "app.kubernetes.io/component", "operator": "In", "values": ["gateway", "worker-light"]}
        ],
    }
    out = [
        {"ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]},
        {"ports": ports_of(_cache_url(spec), spec.artifact_url, settings.store_url)},
    ]
    return {
        "podSelector": _selector(spec),
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {
                "from": [{"podSelector": callers}],
                "ports": [{"protocol": "TCP", "port": PORT}],
            }
        ],
        "egress": out,
    }


def deployment_spec(replicas: int, selector: Manifest, metadata: Manifest, pod: Manifest) -> Manifest:
    """Build what a Deployment keeps running: a new pod is ready before an old one goes."""
    return {
        "replicas": replicas,
        "revisionHistoryLimit": 1,
        "selector": selector,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": metadata, "spec": pod},
    }


def pod_basics(account: str, selector: Manifest, *, leave_s: int) -> Manifest:
    """Build what every pod has: no token, time to leave, its likes on other nodes."""
    return {
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": leave_s + 10,
        "securityContext": pod_security(),
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": selector,
            }
        ],
    }


def container_basics(settings: ClusterSettings) -> Manifest:
    """Build what every container has."""
    return {
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _deployment(spec: ReleaseSpec, settings: ClusterSettings, size_bytes: int) -> Manifest:
    annotations = {"aisle.dev/artifact-sha256": spec.digest}
    metadata = {"labels": _labels(spec), "annotations": annotations}
    return deployment_spec(spec.replicas, _selector(spec), metadata, _pod(spec, settings, size_bytes))


def _pod(spec: ReleaseSpec, settings: ClusterSettings, size_bytes: int) -> Manifest:
    shared = container_basics(settings)
    return {
        **pod_basics(object_name(spec.key), _selector(spec), leave_s=settings.drain_s),
        "initContainers": [
            {
                "name": "fetch-artifact",
                "command": ["python", "-m", "deployments_app.fetch_artifact"],
                "args": ["/release/sources.json", spec.digest, "/model/artifact"],
                "resources": resources("50m", 64 * MIB, 512 * MIB),
                "volumeMounts": [mount("release", "/release"), mount("model", "/model", writes=True)],
                **shared,
            }
        ],
        "containers": [
            {
                "name": "server",
                "args": ["python", "-m", "engine.serving", "--config", "/release/config.json"],
                "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
                "readinessProbe": _probe("ready", period_s=1, failures=2),
                "livenessProbe": _probe("live", period_s=5, failures=6),
                "resources": _memory(spec, size_bytes),
                "volumeMounts": [
                    *(mount("release", "/release"), mount("model", "/model")),
                    mount("tmp", "/tmp", writes=True),  # noqa: S108 - the pod's own
                ],
                **shared,
            }
        ],
        "volumes": [
            {"name": "release", "secret": {"secretName": object_name(spec.key), "defaultMode": 0o440}},
            {"name": "model", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        ],
    }


def _probe(what: str, *, period_s: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": f"/v2/health/{what}", "port": "http"},
        "periodSeconds": period_s,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def mount(name: str, path: str, *, writes: bool = False) -> Manifest:
    return {"name": name, "mountPath": path, **({} if writes else {"readOnly": True})}


def _memory(spec: ReleaseSpec, size_bytes: int) -> Manifest:
    """Bound a server's memory: what the release asks for, beside its files in the page cache."""
    limit = (spec.memory_mb * 1_000_000 or 768 * MIB) + 3 * size_bytes
    return resources("100m", min(limit, 256 * MIB + size_bytes), limit)


def resources(cpu: str, requested_bytes: int, limit_bytes: int) -> Manifest:
    """Bound memory; a processor is shared by weight, since a hard limit would stall single answers."""
    return {
        "requests": {"cpu": cpu, "memory": f"{-(-requested_bytes // MIB)}Mi"},
        "limits": {"memory": f"{-(-limit_bytes // MIB)}Mi"},
    }
