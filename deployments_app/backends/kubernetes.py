"""The Kubernetes backend: one Deployment a release, written by server-side apply into one namespace.

The cluster keeps all state. What this process remembers only spares it from writing the same again: a
release whose objects are as they were left is only looked at.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from django.conf import settings

from deployments_app.backends.base import (
    Change,
    GatewaySpec,
    GatewayStatus,
    Preview,
    ReleaseKey,
    ReleaseSpec,
    Right,
    WorkloadStatus,
)
from deployments_app.backends.differences import as_asked, compare
from deployments_app.backends.kubernetes_api import Cluster, Refused, open_cluster
from deployments_app.backends.kubernetes_reasons import read_gateway_status, read_status
from deployments_app.backends.kubernetes_sight import MANAGED, SHARED_FOR_S, Sight
from deployments_app.backends.manifests import (
    KINDS,
    MANAGER,
    RELEASE_LABEL,
    ClusterSettings,
    Manifest,
    build_release,
    cache_name,
    object_name,
    release_selector,
    service_address,
)
from deployments_app.backends.manifests_gateway import (
    GATEWAY_KINDS,
    build_gateway,
    gateway_name,
    gateway_selector,
    routes_name,
)
from deployments_app.backends.manifests_role import build_role, needed_rights

# Secrets are written and never read, so that an edit of theirs is never seen: they are written again.
SECRET_STANDS_S = 25.0
SECRET_EVERY_S = 2.0  # in one namespace, however many there are


@dataclass(frozen=True)
class _Written:
    """A release as it was written last: from which manifests, when, and which fields are ours since."""

    digest: str
    at: float
    secret_at: float
    fields: Mapping[tuple[str, str], Manifest]


class KubernetesBackend:
    """Runs model servers as pods; see `deployments_app.backends.base.DeploymentBackend`."""

    _written: ClassVar[dict[tuple[str, ReleaseKey], _Written]] = {}

    def __init__(
        self,
        namespace: str = "",
        *,
        cluster: Cluster | None = None,
        options: ClusterSettings | None = None,
        shared_for_s: float = SHARED_FOR_S,
    ) -> None:
        self.cluster = cluster or open_cluster(
            namespace or settings.KUBERNETES_NAMESPACES[0], context=settings.KUBERNETES_CONTEXT
        )
        self.options = options or cluster_settings()
        self.sight = Sight(self.cluster, shared_for_s)

    def apply(self, spec: ReleaseSpec) -> None:
        objects = build_release(spec, self.options, size_bytes=_size(spec.artifact))
        if self._is_as_written(spec.key, objects):
            return
        digest, name = _digest(objects), object_name(spec.key)
        if spec.autoscale is None:
            self._write(spec.key, digest, objects)
            self.cluster.delete("HorizontalPodAutoscaler", name)
        else:
            there = self.cluster.get("Deployment", name)
            self._write(spec.key, digest, [_leave_replicas(each, there) for each in objects])

    def observe(self, key: ReleaseKey) -> WorkloadStatus:
        there = self.sight.see(key, "Deployment", object_name(key))
        pods = self.sight.pods(key, release_selector(key)) if there is not None else []
        service = service_address(key, self.cluster.namespace, self.options.domain)
        status = read_status(there, pods, service=service)
        self.sight.note(key, status.is_ready)
        return status

    def remove(self, key: ReleaseKey) -> None:
        with self._changing(key):
            there = self.cluster.get("Deployment", object_name(key))
            if there is not None and "deletionTimestamp" in there["metadata"]:
                return  # the rest went before it, and its pods are ending
            for kind in (kind for kind in reversed(KINDS) if kind != "Deployment"):
                self.cluster.delete(kind, object_name(key))
            self.cluster.delete("Deployment", object_name(key))

    def loaded(self) -> list[ReleaseKey]:
        ours = f"{MANAGED},{RELEASE_LABEL}"
        found = (each for kind in ("Deployment", KINDS[0]) for each in self.cluster.find(kind, ours))
        return sorted({each["metadata"]["labels"][RELEASE_LABEL] for each in found})

    def apply_gateway(self, spec: GatewaySpec) -> None:
        objects = build_gateway(spec, self.options)
        if not self._is_as_written(spec.key, objects):
            self._write(spec.key, _digest(objects), objects)

    def observe_gateway(self, key: str) -> GatewayStatus:
        there = self.sight.see(key, "Deployment", gateway_name(key))
        if there is None:
            return GatewayStatus()
        pods = self.sight.pods(key, gateway_selector(key))
        service = self.sight.see(key, "Service", gateway_name(key))
        status = read_gateway_status(there, pods, service)
        self.sight.note(key, status.is_ready)
        return status

    def remove_gateway(self, key: str) -> None:
        with self._changing(key):
            self.cluster.delete("Service", cache_name(key))
            self.cluster.delete("Secret", routes_name(key))
            for kind in sorted(GATEWAY_KINDS, key=lambda kind: kind == "Deployment"):
                self.cluster.delete(kind, gateway_name(key))

    def preview(self, spec: ReleaseSpec, live: ReleaseSpec | None = None) -> Preview:
        """Have the API server check every object as if it were written, beside what is live."""
        asked = self._objects(spec)
        before = self._objects(live) if live is not None else {}
        changes, problem = [], ""
        for kind in (kind for kind in KINDS if kind in {*asked, *before}):
            old, new, is_whole = before.get(kind), asked.get(kind), kind != "Secret"
            if new is not None:
                try:
                    tried = self.cluster.apply(new, dry_run=True)
                    new = tried if is_whole else new
                except Refused as refused:
                    problem, is_whole = problem or refused.detail, False
            # What was refused lacks the server's defaults, and Secrets are never read: those are compared
            # with what was asked for the live release, all others with what is there.
            if old is not None and is_whole:
                old = self.cluster.get(kind, old["metadata"]["name"])
            if old is not None or new is not None:
                changes.append(_compare(kind, old, new, spec, live))
        return Preview(tuple(changes), problem, is_tried=not problem)

    def _objects(self, spec: ReleaseSpec) -> dict[str, Manifest]:
        built = build_release(spec, self.options, size_bytes=_size(spec.artifact))
        return {each["kind"]: each for each in built}

    @property
    def namespace(self) -> str:
        return self.cluster.namespace

    def list_rights(self) -> list[Right]:
        return [
            replace(right, is_allowed=self.cluster.may(right.verb, right.group, right.resource))
            for right in needed_rights()
        ]

    def role(self, rights: list[Right]) -> str:
        return _as_text(build_role(self.namespace, rights))

    def _place(self, key: ReleaseKey) -> tuple[str, ReleaseKey]:
        return self.cluster.namespace, key

    @contextmanager
    def _changing(self, key: str) -> Iterator[None]:
        """Forget what is known, before and after: another worker may look, and note, in between."""
        self._forget(key)
        try:
            yield
        finally:
            self._forget(key)

    def _forget(self, key: str) -> None:
        self._written.pop(self._place(key), None)
        self.sight.wake(key)

    def _write(self, key: str, digest: str, objects: list[Manifest]) -> None:
        with self._changing(key):
            made = [self.cluster.apply(each) for each in objects]
        fields = {(each["kind"], each["metadata"]["name"]): _our_fields(each) for each in made}
        now = time.monotonic()
        self._written[self._place(key)] = _Written(digest, now, now, fields)

    def _is_as_written(self, key: str, objects: list[Manifest]) -> bool:
        before = self._written.get(self._place(key))
        if before is None or before.digest != _digest(objects):
            return False
        for each in objects:
            kind, name = each["kind"], each["metadata"]["name"]
            if kind == "Secret":
                continue
            if kind == "Deployment":
                there = self.sight.see(key, kind, name)
            else:
                there = self.sight.list_all(kind, before.at).get(name)
            if there is None or "deletionTimestamp" in there["metadata"]:
                return False
            if _our_fields(there) != before.fields[kind, name]:
                return False
        if time.monotonic() - before.secret_at >= self._secrets_stand_s():
            self._written[self._place(key)] = replace(before, secret_at=time.monotonic())
            for each in (each for each in objects if each["kind"] == "Secret"):
                self.cluster.apply(each)
        return True

    def _secrets_stand_s(self) -> float:
        known = [namespace for namespace, _ in [*self._written]].count(self.cluster.namespace)
        return max(SECRET_STANDS_S, SECRET_EVERY_S * known)


def cluster_settings() -> ClusterSettings:
    """Read what the objects of every release share from the portal's settings."""
    return ClusterSettings(
        image=settings.KUBERNETES_IMAGE,
        pull_policy=settings.KUBERNETES_PULL_POLICY,
        drain_s=settings.KUBERNETES_DRAIN_S,
        domain=settings.KUBERNETES_DOMAIN,
        gateway_type=settings.KUBERNETES_GATEWAY_TYPE,
        store_url=settings.ARTIFACT_S3_URL,
    )


def _compare(
    kind: str, old: Manifest | None, new: Manifest | None, spec: ReleaseSpec, live: ReleaseSpec | None
) -> Change:
    before, after = (None if each is None else _without_secrets(as_asked(each)) for each in (old, new))
    return compare(kind, before, after, *(each.key for each in (spec, live) if each is not None))


def _without_secrets(manifest: Manifest) -> Manifest:
    if manifest["kind"] != "Secret":
        return manifest
    return {**manifest, "data": dict.fromkeys(manifest["data"], "(hidden)")}


def _as_text(manifest: Manifest) -> str:
    """Write a manifest as kubectl takes it: JSON, which needs no library that also reads."""
    return json.dumps(manifest, indent=2)


def _our_fields(manifest: Manifest) -> Manifest:
    """Read which fields we decide: the server takes one from us when somebody else gives it another value."""
    for entry in manifest["metadata"].get("managedFields", ()):
        if entry.get("manager") == MANAGER and entry.get("operation") == "Apply":
            return dict(entry["fieldsV1"])
    return {}


def _digest(objects: list[Manifest]) -> str:
    return hashlib.sha256(json.dumps(objects, sort_keys=True).encode()).hexdigest()


def _leave_replicas(manifest: Manifest, there: Manifest | None) -> Manifest:
    """Say nothing of replicas once the autoscaler has set them: they are its own from then on."""
    if manifest["kind"] != "Deployment" or there is None:
        return manifest
    for entry in there["metadata"].get("managedFields", ()):
        owns = "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
        if owns and entry.get("manager") != MANAGER:
            rest = {name: value for name, value in manifest["spec"].items() if name != "replicas"}
            return {**manifest, "spec": rest}
    return manifest


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
