"""What a release's objects say about its servers, in a shop owner's words. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

from deployments_app.backends.base import GatewayStatus, WorkloadStatus
from deployments_app.backends.last_words import last_words
from deployments_app.backends.manifests import PORT, Manifest

REASON_MAX = 300
IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
FETCH = "fetch-artifact"
PARTS = {
    FETCH: "fetching the artifact",
    "server": "the server",
    "agent": "the gateway's agent",
    "envoy": "the gateway",
}


def read_status(deployment: Manifest | None, pods: Iterable[Manifest], *, service: str) -> WorkloadStatus:
    """Read the status of a release from its Deployment and its pods.

    service: the address that leads to all ready servers, told once there is one.
    """
    if deployment is None:
        return WorkloadStatus()
    pods = sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
    if "deletionTimestamp" in deployment["metadata"]:
        return WorkloadStatus(reason="the servers are stopping", exists=True)
    staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and not _is_over(pod)]
    ready = [pod for pod in staying if _condition(pod, "Ready").get("status") == "True"]
    desired = int(deployment["spec"].get("replicas", 1))
    reasons = [] if len(ready) >= desired else [*_reasons(deployment, staying, ready)]
    logs = (_log_of(pod) for pod in staying if reasons and pod not in ready)
    return WorkloadStatus(
        desired=desired,
        ready=len(ready),
        endpoints=tuple(_endpoint(pod) for pod in ready),
        service=service if ready else "",
        reason="; ".join(dict.fromkeys(reasons))[:REASON_MAX],
        restarts=sum(_restarts(pod) for pod in staying),
        exists=True,
        log=next((log for log in logs if log), ""),
    )


def read_gateway_status(
    deployment: Manifest, pods: Iterable[Manifest], service: Manifest | None
) -> GatewayStatus:
    """Read the status of an environment's gateways; their address is the Service's outermost."""
    seen = read_status(deployment, pods, service="")
    return GatewayStatus(seen.desired, seen.ready, seen.reason, _address_of(service), exists=True)


def _address_of(service: Manifest | None) -> str:
    spec = service["spec"] if service is not None else {}
    given = service.get("status", {}).get("loadBalancer", {}).get("ingress", ()) if service else ()
    for each in given:
        return f"http://{each.get('hostname') or each.get('ip')}"
    return f"http://{spec['clusterIP']}" if spec.get("clusterIP") else ""


def _reasons(deployment: Manifest, staying: list[Manifest], ready: list[Manifest]) -> Iterator[str]:
    refused = _condition(deployment, "ReplicaFailure")
    if refused.get("status") == "True":
        yield _refusal(str(refused.get("message", "")))
    for pod in staying:
        if pod not in ready:
            yield why_not_ready(pod)
    if not staying and refused.get("status") != "True":
        yield "the servers are being started"


def why_not_ready(pod: Manifest) -> str:
    """Say why one pod is not ready."""
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return f"no node has room for a server: {_first_line(scheduled.get('message', ''))}"
    for status in _containers(pod):
        name, waiting = status["name"], status.get("state", {}).get("waiting")
        ended = _end_of(status)
        if waiting and waiting.get("reason") in IMAGE_REASONS:
            what = _first_line(waiting.get("message", "")) or waiting["reason"]
            return f"the image {status.get('image', '')} cannot be fetched: {what}"
        if waiting and waiting.get("reason") == "CreateContainerConfigError":
            return f"the server cannot be set up: {_first_line(waiting.get('message', ''))}"
        if ended and not status.get("ready"):
            again = "; it is being started again" if not waiting else "; the next start waits a while"
            return f"{PARTS.get(name, name)} {_how_it_ended(ended)}{again}"
    running = [status["name"] for status in _containers(pod) if "running" in status.get("state", {})]
    if "server" in running:
        return "the server is warming up"
    if "agent" in running:
        return "the gateway waits for its first routes from the portal"
    return "the artifact is being fetched" if running else "the server is starting"


def _end_of(status: dict[str, Any]) -> dict[str, Any] | None:
    """Find how a container ended that was not meant to: only what prepares a pod is, and then well."""
    states = (status.get("state", {}), status.get("lastState", {}))
    ends = [each["terminated"] for each in states if "terminated" in each]
    # The newest end may not have its words yet, and then the one before it says the same.
    ended = next((end for end in ends if end.get("message")), ends[0] if ends else None)
    return None if ended and ended.get("exitCode") == 0 and status["name"] == FETCH else ended


def _log_of(pod: Manifest) -> str:
    """Read what a container that ended said last: the kubelet keeps the end of its log, 2 kB of it."""
    ends = (_end_of(status) for status in _containers(pod) if not status.get("ready"))
    return next((last_words(end["message"]) for end in ends if end and end.get("message")), "")


def _how_it_ended(ended: dict[str, Any]) -> str:
    if ended.get("reason") == "OOMKilled":
        return "was stopped because it used more memory than it may"
    said = _last_line(ended.get("message", ""))
    return f"ended with status {ended.get('exitCode')}" + (f": {said}" if said else "")


def _refusal(message: str) -> str:
    if "exceeded quota" in message:
        return f"the namespace's quota is used up: {message.partition('forbidden: ')[2] or message}"[:200]
    if "violates PodSecurity" in message:
        return f"the namespace's Pod Security refuses the server: {message}"[:200]
    return f"the cluster refuses to start a server: {message}"[:200]


def _is_over(pod: Manifest) -> bool:
    return pod.get("status", {}).get("phase") in ("Failed", "Succeeded")


def _endpoint(pod: Manifest) -> str:
    address = str(pod["status"]["podIP"])
    return f"[{address}]:{PORT}" if ":" in address else f"{address}:{PORT}"


def _restarts(pod: Manifest) -> int:
    return sum(int(status.get("restartCount", 0)) for status in _containers(pod))


def _containers(pod: Manifest) -> list[dict[str, Any]]:
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def _condition(manifest: Manifest, kind: str) -> dict[str, Any]:
    found = manifest.get("status", {}).get("conditions", ())
    return next((each for each in found if each.get("type") == kind), {})


def _first_line(text: object) -> str:
    return next((line.strip() for line in str(text).splitlines() if line.strip()), "")[:160]


def _last_line(text: object) -> str:
    lines = [line.strip() for line in str(text).splitlines() if line.strip()]
    return lines[-1][:160] if lines else ""
