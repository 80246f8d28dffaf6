"""What Aisle has to be allowed in a namespace: never more than this, and nothing outside of it. Pure."""

from collections.abc import Iterable

from deployments_app.backends.base import Right
from deployments_app.backends.manifests import MANAGER, Manifest

READ, WRITE = ("get", "list"), ("get", "list", "create", "patch", "delete")
# Group, resource, verbs. Applying is `patch`, and `create` where nothing is there yet. Secrets are written
# and never read: what is in them stays in the cluster.
NEEDS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("apps", "deployments", WRITE),
    ("", "services", WRITE),
    ("", "serviceaccounts", WRITE),
    ("", "secrets", ("create", "patch", "delete")),
    ("", "pods", READ),
    ("networking.k8s.io", "networkpolicies", WRITE),
    ("policy", "poddisruptionbudgets", WRITE),
    ("autoscaling", "horizontalpodautoscalers", WRITE),
)


def build_role(namespace: str, rights: Iterable[Right] = ()) -> Manifest:
    """Build the Role that grants these rights; all that Aisle needs, when none are named."""
    wanted: dict[tuple[str, str], list[str]] = {}
    for right in [*rights] or needed_rights():
        wanted.setdefault((right.group, right.resource), []).append(right.verb)
    rules = [
        {"apiGroups": [group], "resources": [resource], "verbs": sorted(verbs)}
        for (group, resource), verbs in wanted.items()
    ]
    metadata = {
        "name": MANAGER,
        "namespace": namespace,
        "labels": {"app.kubernetes.io/name": MANAGER, "app.kubernetes.io/part-of": MANAGER},
    }
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": metadata,
        "rules": rules,
    }


def needed_rights() -> list[Right]:
    """List every right that Aisle needs in a namespace."""
    return [Right(verb, group, resource) for group, resource, verbs in NEEDS for verb in verbs]
