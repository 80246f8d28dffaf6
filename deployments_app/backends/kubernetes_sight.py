"""How a backend sees its objects: one by one while something changes, in shared lists when all is at rest.

At rest a portal so asks the API server as often for a hundred releases as for one.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from deployments_app.backends.kubernetes_api import Cluster
from deployments_app.backends.manifests import MANAGER, Manifest

MANAGED = f"app.kubernetes.io/managed-by={MANAGER}"
RUNNING = ("Deployment", "Pod")  # the kinds that tell how servers are
SHARED_FOR_S = 4.0  # how old a list of these may be in which what is at rest is seen
EDIT_STANDS_S = 20.0  # and of all other kinds, which change only when somebody changes them


@dataclass(frozen=True)
class _Listed:
    asked_at: float
    objects: dict[str, Manifest]


class Overview:
    """The newest list of each kind of object in a namespace; times are `time.monotonic`'s."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[str, _Listed] = {}

    def find(self, kind: str, *, since: float, ask: Callable[[], list[Manifest]]) -> dict[str, Manifest]:
        """Return a kind's objects by name, as they were at some moment after `since`."""
        with self._lock:  # who comes meanwhile waits for the answer instead of asking again
            known = self._newest.get(kind)
            if known is None or known.asked_at < since:
                asked_at = time.monotonic()
                known = _Listed(asked_at, {each["metadata"]["name"]: each for each in ask()})
                self._newest[kind] = known
            return known.objects


class Sight:
    """What one backend sees. A key is a release's or an environment's; it rests once all of it was ready.

    shared_for_s: how old what is seen of servers at rest may be.
    """

    _overviews: ClassVar[defaultdict[str, Overview]] = defaultdict(Overview)
    _rests_since: ClassVar[dict[tuple[str, str], float]] = {}

    def __init__(self, cluster: Cluster, shared_for_s: float = SHARED_FOR_S) -> None:
        self._cluster = cluster
        self._shared_for_s = shared_for_s

    def see(self, key: str, kind: str, name: str) -> Manifest | None:
        """Look at one object."""
        rests_since = self._rests_since.get(self._place(key))
        if rests_since is None:
            return self._cluster.get(kind, name)
        return self.list_all(kind, rests_since).get(name)

    def pods(self, key: str, selector: str) -> list[Manifest]:
        """Look at the pods with these labels."""
        rests_since = self._rests_since.get(self._place(key))
        if rests_since is None:
            return self._cluster.find("Pod", selector)
        return select(self.list_all("Pod", rests_since), selector)

    def list_all(self, kind: str, since: float) -> dict[str, Manifest]:
        """List all objects of a kind by name, as they were after `since`, and not long ago."""
        age_s = self._shared_for_s if kind in RUNNING else EDIT_STANDS_S
        since = max(since, time.monotonic() - age_s)
        overview = self._overviews[self._cluster.namespace]
        return overview.find(kind, since=since, ask=lambda: self._cluster.find(kind, MANAGED))

    def note(self, key: str, is_ready: bool) -> None:
        """Take note whether all of it was ready just now."""
        if is_ready:
            self._rests_since.setdefault(self._place(key), time.monotonic())
        else:
            self.wake(key)

    def wake(self, key: str) -> None:
        """Have the next look be at the thing itself, and no list believed that was asked for before it."""
        self._rests_since.pop(self._place(key), None)

    def _place(self, key: str) -> tuple[str, str]:
        return self._cluster.namespace, key


def select(objects: dict[str, Manifest], selector: str) -> list[Manifest]:
    """Choose objects by labels, as the API server does for a selector "name=value,name=value"."""
    wanted = dict(each.split("=", 1) for each in selector.split(","))
    return [each for each in objects.values() if wanted.items() <= each["metadata"].get("labels", {}).items()]
