"""What differs between a release's settings and those of the live one, as unified diffs. Pure."""

import difflib
import json
from collections.abc import Mapping
from typing import Any

from deployments_app.backends.base import Change, ReleaseKey
from deployments_app.backends.manifests import Manifest, object_name

RELEASE = "{release}"  # stands for the id that each release's objects are named by
# What the API server alone writes: it differs between any two objects, whatever was asked for.
_SERVERS_OWN = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
_REVISION = "deployment.kubernetes.io/revision"


def compare(
    what: str, live: Mapping[str, Any] | None, new: Mapping[str, Any] | None, *keys: ReleaseKey
) -> Change:
    """Compare one thing of the live release with the new one's; None where a release has none.

    keys: the ids of both releases, which differ by nature and so are written alike.
    """
    before, after = (_lines(each, keys) for each in (live, new))
    diff = "\n".join(difflib.unified_diff(before, after, "live", "new", lineterm=""))
    if live is None:
        act = "make"
    elif new is None:
        act = "remove"
    else:
        act = "change" if diff else "keep"
    return Change(what, act, diff)


def as_asked(manifest: Manifest) -> Manifest:
    """Leave of an object in a cluster what somebody asked for, and the server's defaults."""
    metadata = {name: value for name, value in manifest["metadata"].items() if name not in _SERVERS_OWN}
    if _REVISION in metadata.get("annotations", {}):
        annotations = {name: value for name, value in metadata["annotations"].items() if name != _REVISION}
        metadata["annotations"] = annotations
    return {**{name: value for name, value in manifest.items() if name != "status"}, "metadata": metadata}


def _lines(settings: Mapping[str, Any] | None, keys: tuple[ReleaseKey, ...]) -> list[str]:
    if settings is None:
        return []
    text = json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False)
    for key in keys:
        text = text.replace(key, RELEASE).replace(object_name(key), RELEASE)
    return text.splitlines()
