"""Calls to one cluster's API server, by the official client: bounded in time, and never retried in secret.

This is the only module that imports `kubernetes`. Objects are plain dictionaries, as in YAML.
"""

import json
import logging
import os
import threading
import time
from datetime import UTC, datetime
from functools import cache
from typing import Any

import urllib3.exceptions
from kubernetes.client import ApiClient, ApiException, Configuration
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

from deployments_app.backends.manifests import MANAGER, Manifest
from portal.core.errors import BackendError

TIMEOUT = (2, 10)  # to connect, to answer; the client's default is for ever
REST_S = 3.0  # after a server that did not answer, nobody asks for so long
PATHS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "Pod": "/api/v1/namespaces/{}/pods",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "ReplicaSet": "/apis/apps/v1/namespaces/{}/replicasets",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
}
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

log = logging.getLogger("aisle.kubernetes")


class Refused(BackendError):
    """The API server answered, and said no; `api_status` is its answer's."""

    def __init__(self, detail: str, *, api_status: int) -> None:
        super().__init__(detail, retryable=True)
        self.api_status = api_status


class Cluster:
    """One API server and one namespace."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self.warnings: list[str] = []  # what the server remarked on our objects, newest last
        self._client = client
        self._rest = _rest_of(client.configuration.host)

    def get(self, kind: str, name: str) -> Manifest | None:
        """Read one object; None when there is none."""
        try:
            return self._call("GET", f"{self._path(kind)}/{name}", what=f"read the {kind} {name}")
        except Refused as refused:
            if refused.api_status == 404:
                return None
            raise

    def find(self, kind: str, selector: str) -> list[Manifest]:
        """List objects by label, as they are now: a server's memory may be behind its store."""
        query = [("labelSelector", selector)]
        found = self._call("GET", self._path(kind), query, what=f"list objects of kind {kind}")
        return [*found["items"]]

    def apply(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Make an object what the manifest says, by server-side apply; twice changes nothing."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        query = [("fieldManager", MANAGER), ("force", "true"), *([("dryRun", "All")] if dry_run else [])]
        return self._call(
            "PATCH",
            f"{self._path(kind)}/{name}",
            query,
            body=manifest,
            content_type="application/apply-patch+yaml",
            what=f"apply the {kind} {name}",
        )

    def delete(self, kind: str, name: str) -> bool:
        """Delete an object, and wait in the server for what it owns; False when it was gone already."""
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}
        try:
            self._call("DELETE", f"{self._path(kind)}/{name}", body=body, what=f"delete the {kind} {name}")
        except Refused as refused:
            if refused.api_status == 404:
                return False
            raise
        return True

    def may(self, verb: str, group: str, resource: str) -> bool:
        """Ask whether this account may do something in the namespace."""
        attributes = {"namespace": self.namespace, "verb": verb, "group": group, "resource": resource}
        resource_name, _, subresource = resource.partition("/")
        attributes |= {"resource": resource_name, "subresource": subresource}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        found = self._call("POST", REVIEW, body=review, what="ask what Aisle may do")
        return bool(found["status"]["allowed"])

    def _path(self, kind: str) -> str:
        return PATHS[kind].format(self.namespace)

    def _call(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]] | None = None,
        *,
        body: Manifest | None = None,
        content_type: str = "application/json",
        what: str,
    ) -> Manifest:
        self._rest.check()
        headers = {"Accept": "application/json", "Content-Type": content_type}
        request = self._client.param_serialize(
            method=method,
            resource_path=path,
            query_params=query or [],
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = self._client.call_api(*request, _request_timeout=TIMEOUT)
            content = response.read()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._rest.begin(error) from error
        except ApiException as error:
            raise self._rest.begin(error) from error
        self._rest.end()
        for warning in response.headers.getlist("warning") if hasattr(response.headers, "getlist") else ():
            log.warning("the cluster remarks: %s", warning)
            self.warnings.append(warning)
        if 200 <= response.status < 300:
            answer: Manifest = json.loads(content)
            return answer
        raise Refused(_explain(response.status, content, what, self.namespace), api_status=response.status)


class _Rest:
    """Leave a server alone for a moment once it has not answered: others wait behind each call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._silent_since: datetime | None = None
        self._until = 0.0

    def check(self) -> None:
        with self._lock:
            if self._silent_since is not None and time.monotonic() < self._until:
                raise self._error()

    def begin(self, error: Exception) -> BackendError:
        log.warning("the cluster does not answer: %s", str(error)[:300])
        with self._lock:
            self._silent_since = self._silent_since or datetime.now(UTC)
            self._until = time.monotonic() + REST_S
            return self._error()

    def end(self) -> None:
        with self._lock:
            self._silent_since = None

    def _error(self) -> BackendError:
        since = self._silent_since or datetime.now(UTC)
        return BackendError(f"the cluster has not answered since {since:%H:%M:%S} UTC; serving goes on")


@cache
def _rest_of(host: str) -> _Rest:
    return _Rest()


@cache
def _client(kubeconfig: str, context: str) -> ApiClient:
    """Make the one client of a cluster: no retries, else a frozen server holds a worker for minutes."""
    configuration = Configuration()
    try:
        if not kubeconfig and "KUBERNETES_SERVICE_HOST" in os.environ:
            load_incluster_config(client_configuration=configuration)
        else:
            load_kube_config(kubeconfig or None, context or None, configuration, persist_config=False)
    except (ConfigException, OSError) as error:
        raise BackendError(
            f"There is no access to a cluster: {error} Set KUBECONFIG, or run Aisle in the cluster."
        ) from error
    configuration.retries = False
    return ApiClient(configuration)


def open_cluster(namespace: str, *, kubeconfig: str = "", context: str = "") -> Cluster:
    """Open the cluster that KUBECONFIG, or the pod's own account, leads to."""
    return Cluster(_client(kubeconfig or os.environ.get("KUBECONFIG", ""), context), namespace)


def _explain(status: int, content: bytes, what: str, namespace: str) -> str:
    """Say what the server refused, in a sentence that helps."""
    try:
        message: Any = json.loads(content).get("message", "")
    except (ValueError, AttributeError):
        message = content[:200].decode("utf-8", "replace")
    if status == 401:
        return "the cluster does not know Aisle's account; renew its KUBECONFIG or service account"
    if status == 403 and "exceeded quota" in message:
        return f"the quota of the namespace {namespace} is used up: {message[:200]}"
    if status == 403:
        return f"Aisle may not {what} in the namespace {namespace}: {message[:160]}"
    if status == 429:
        return "the cluster is busy and asks to be left alone for a while"
    return f"the cluster would not {what} ({status}): {message[:200]}"
