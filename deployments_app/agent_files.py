"""The agent's folder: the files that Envoy watches, replaced by rename, and one agent at a time."""

import fcntl
import http.client
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from deployments_app.gateway import Ports, Routes, WatchedFile, build_bootstrap, build_files
from deployments_app.gateway_bootstrap import FETCHED, KINDS, live_file
from deployments_app.gateway_clusters import BY_NAME, Resource, build_clusters, members_of

WARM_AFTER_S = 10.0  # how long Envoy may take to find the names of a new cluster
LINGER_S = 10.0  # how long a cluster outlives the routes to it: longer than any request


class FolderTaken(Exception):
    """Another agent writes this folder."""


class GatewayFolder:
    """Writes what Envoy reads. Files that are there when the agent starts stay until there are newer ones."""

    def __init__(
        self,
        path: Path,
        ports: Ports,
        agent_key: dict[str, Any],
        probe_mark: str,
        settle: Callable[[str], None] = lambda version: None,
    ) -> None:
        """settle: waits until Envoy uses clusters of this version; called before routes lead to names."""
        self.path = path
        self._settle = settle
        self._ports = ports
        self._agent_key = agent_key
        self._probe_mark = probe_mark
        self._routes: Routes | None = None
        self._written: dict[str, str] = {}
        self._clusters: dict[str, tuple[Resource, float]] = {}  # each may be warming until then
        self._lingering: dict[str, tuple[Resource, float]] = {}
        self._lock: TextIO | None = None

    def open(self) -> None:
        """Take the folder, and write what Envoy needs to start. Raises FolderTaken."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = (self.path / "agent.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise FolderTaken(f"Another agent is at work in {self.path.name}.") from error
        for kind in KINDS:
            live_file(self.path, kind).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        nothing = Routes.of("none", ())
        for kind, file in self._files(nothing).items():
            if not _is_json(live_file(self.path, kind)):
                self._write(kind, file)
        self._write_bootstrap()

    def close(self) -> None:
        """Let another agent take the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def write(self, routes: Routes) -> dict[str, str]:
        """Write clusters, keys, then routes; return the version by which Envoy will name each."""
        if self._routes is not None:
            until = time.monotonic() + LINGER_S
            for cluster in build_clusters(self._routes.deployments):
                self._lingering[cluster["name"]] = (cluster, until)
        self._routes = routes
        versions = self._write_all(routes)
        (self.path / FETCHED).touch()  # from now on this gateway has what shoppers ask for
        return versions

    @property
    def has_routes(self) -> bool:
        """Tell whether there ever were routes in this folder; an earlier agent's count, too."""
        return (self.path / FETCHED).exists()

    def forget_old(self) -> dict[str, str] | None:
        """Drop clusters whose time is over; the new versions when there were any."""
        now = time.monotonic()
        over = [name for name, (_, until) in self._lingering.items() if until <= now]
        if self._routes is None or not over:
            return None
        for name in over:
            del self._lingering[name]
        return self._write_all(self._routes)

    def _write_all(self, routes: Routes) -> dict[str, str]:
        files = self._files(routes)
        self._note_clusters(build_clusters(routes.deployments))
        for kind, file in files.items():
            self._write(kind, file)
            # Envoy uses a cluster once it has found its names; a route that is there first answers 503.
            # A rollback does not wait: its routes lead to clusters that were there before.
            if kind == "clusters" and self._leads_to_new_names(files["routes"]):
                self._settle(file.version)
                self._clusters = {name: (each, 0.0) for name, (each, _) in self._clusters.items()}
        return {kind: file.version for kind, file in files.items()}

    def _note_clusters(self, clusters: list[Resource]) -> None:
        present = [cluster for cluster, _ in self._lingering.values()] + clusters
        before, until = self._clusters, time.monotonic() + WARM_AFTER_S
        self._clusters = {}
        for each in present:
            known = before.get(each["name"])
            self._clusters[each["name"]] = known if known is not None and known[0] == each else (each, until)

    def _leads_to_new_names(self, routes: WatchedFile) -> bool:
        led_to = [name for name in self._clusters if f'"{name}"' in routes.content]
        led_to += [member for name in led_to for member in members_of(self._clusters[name][0])]
        now = time.monotonic()
        return any(
            cluster.get("type") == BY_NAME["type"] and now < warming_until
            for cluster, warming_until in map(self._clusters.__getitem__, led_to)
        )

    def _files(self, routes: Routes) -> dict[str, WatchedFile]:
        return build_files(
            routes,
            agent_key=self._agent_key,
            probe_mark=self._probe_mark,
            lingering=[cluster for cluster, _ in self._lingering.values()],
        )

    def _write(self, kind: str, file: WatchedFile) -> None:
        if self._written.get(kind) != file.version:
            self._replace(live_file(self.path, kind), file.content)
            self._written[kind] = file.version

    def _write_bootstrap(self) -> None:
        """Write the bootstrap last: Envoy's start waits for it. One that changed needs a new Envoy."""
        path = self.path / "bootstrap.json"
        content = json.dumps(build_bootstrap(self.path, self._ports))
        before = path.read_text() if path.exists() else ""
        if before == content:
            return
        self._replace(path, content)
        if before:
            _ask_envoy_to_leave(before, path)

    def _replace(self, path: Path, content: str) -> None:
        """Write aside, outside the watched folders, then rename; only the owner may read it."""
        aside = self.path / f"{path.name}.partial"
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(content)
        aside.rename(path)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return True


def _ask_envoy_to_leave(old_bootstrap: str, path: Path) -> None:
    """Have the Envoy that still runs an older bootstrap end, if it is ours; its supervisor starts it anew."""
    try:
        port = json.loads(old_bootstrap)["admin"]["address"]["socket_address"]["port_value"]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        connection.request("GET", "/server_info")
        options = json.loads(connection.getresponse().read())["command_line_options"]
        if options["config_path"] == str(path):
            connection.request("POST", "/quitquitquit")
            connection.getresponse().read()
        connection.close()
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return  # none runs there, or not ours
