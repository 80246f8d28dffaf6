"""Reports to the portal once a second, and as soon as Envoy runs something new."""

import logging
import time
from datetime import UTC, datetime

from ulid import ULID

from deployments_app.agent_config import AgentConfig
from deployments_app.agent_envoy import EnvoyAdmin, EnvoyUnavailable
from deployments_app.agent_portal import Portal, PortalUnavailable
from deployments_app.agent_state import AgentState
from deployments_app.gateway import Report, report_to_json

REPORT_S = 1.0
APPLY_MAX_S = 1.0  # how long a report waits for Envoy to take new files before it says that it has not
PARTLY = "partly"  # equals no version: routes are in force, but not the clusters or keys they came with

log = logging.getLogger("aisle.agent")


class Reporter:
    """The reporting thread's work; it has its own connections to the portal and to Envoy."""

    def __init__(self, config: AgentConfig, state: AgentState) -> None:
        self._config = config
        self._state = state
        self._portal = Portal(config.portal_url, config.token)
        self._envoy = EnvoyAdmin(config.ports.admin_port)
        self._counting_since = f"agent_{ULID()}"
        self._envoy_started_at: float | None = None

    def run(self) -> None:
        """Report until the agent stops."""
        state = self._state
        while not state.stopping.is_set():
            state.news.wait(REPORT_S)
            state.news.clear()
            report = self._make_report(*self._await_envoy())
            try:
                self._portal.post_report(report_to_json(report))
            except PortalUnavailable as error:
                log.debug("%s", error)
                continue
            with state.lock:
                for measured in report.watches:
                    state.measured.pop(measured.rollout_id, None)
        self._portal.close()
        self._envoy.close()

    def _await_envoy(self) -> tuple[str | None, str]:
        """Wait until Envoy runs all files as written; the version of its routes, and what is wrong."""
        deadline = time.monotonic() + APPLY_MAX_S
        while True:
            try:
                versions = self._envoy.read_versions()
            except EnvoyUnavailable as error:
                return None, str(error)
            with self._state.lock:
                expected, routes = self._state.expected, self._state.routes
            late = [kind for kind, version in expected.items() if versions[kind] != version]
            if not late:
                if routes is not None:
                    self._note_running()
                return versions["routes"], ""
            if time.monotonic() > deadline or self._state.stopping.is_set():
                running = versions["routes"] if "routes" in late else PARTLY
                return running, f"Envoy has not taken the {' and '.join(late)} of the newest version."
            time.sleep(0.003)

    def _note_running(self) -> None:
        now = time.time()
        with self._state.lock:
            for deployment in self._state.routes.deployments if self._state.routes else ():
                prober = self._state.probers.get(deployment.watch.rollout_id) if deployment.watch else None
                if prober is not None:
                    prober.routes_are_running(now)

    def _make_report(self, running: str | None, envoy_problem: str) -> Report:
        state = self._state
        try:
            scrape = self._envoy.scrape()
        except EnvoyUnavailable:
            scrape = None
        now = time.time()
        with state.lock:
            if scrape is None:
                running, self._envoy_started_at = None, None
            else:
                state.counts.add(scrape)
                self._note_start(now - scrape.uptime_s)
            return Report(
                agent_id=self._config.agent_id,
                environment=state.routes.environment if state.routes else "unknown",
                at=_rfc3339(now + state.clock_offset_s),
                counting_since=self._counting_since,
                envoy_version_running=running,
                envoy_started_at=None if self._envoy_started_at is None else _rfc3339(self._envoy_started_at),
                arms=state.counts.reports(),
                watches=tuple(state.measured.values()),
                pairs=tuple(state.pairs.values()),
                problem=(state.problem or envoy_problem)[:300],
            )

    def _note_start(self, started_at: float) -> None:
        """Keep one start time for one Envoy: it says its uptime in whole seconds only."""
        if self._envoy_started_at is None or abs(started_at - self._envoy_started_at) > 2:
            self._envoy_started_at = started_at


def _rfc3339(moment_s: float) -> str:
    return datetime.fromtimestamp(moment_s, UTC).isoformat()
