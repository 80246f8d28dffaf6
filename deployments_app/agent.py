"""The agent beside one Envoy: fetches routes, writes Envoy's files, reports what runs and what it did.

Four kinds of threads: the agent's own fetches and writes, the reporter's watches Envoy and reports, one per
rollback measures it, one per shadow compares it with stable. None waits for another, so a portal that is
slow to take a report never delays a rollback. Without a portal the last files stay in force, and the agent
keeps asking.

It uses neither database nor Django: `python -m deployments_app.agent` needs the environment only.
"""

import logging
import os
import signal
import threading
import time
from pathlib import Path
from secrets import token_urlsafe

from deployments_app.agent_compare import Comparer
from deployments_app.agent_config import AgentConfig, read_config
from deployments_app.agent_envoy import EnvoyAdmin, EnvoyUnavailable
from deployments_app.agent_files import GatewayFolder
from deployments_app.agent_portal import Fetched, Portal, PortalUnavailable, read_kept
from deployments_app.agent_probe import ProbeKey, Prober, is_worth_measuring
from deployments_app.agent_reporter import Reporter
from deployments_app.agent_state import AgentState
from deployments_app.gateway import DeploymentRoute, Routes

POLL_S = 0.1
BACK_OFF_MAX_S = 1.0
SETTLE_S = 2.0

log = logging.getLogger("aisle.agent")


class Agent:
    """One agent; `run` returns after `stop`."""

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        self._state = AgentState()
        self._key = ProbeKey()
        self._probe_mark = token_urlsafe(24)
        self._envoy = EnvoyAdmin(config.ports.admin_port)
        self._folder = GatewayFolder(
            config.folder, config.ports, self._key.jwk, self._probe_mark, self._await_clusters
        )
        self._portal = Portal(config.portal_url, config.token, config.backend)
        self._reporter = Reporter(config, self._state)
        self._comparers: dict[str, Comparer] = {}

    def stop(self) -> None:
        """Ask `run` to return soon."""
        self._state.stop()

    def run(self) -> None:
        """Work until stopped. Raises FolderTaken when another agent is at work here."""
        self._folder.open()
        reporting = threading.Thread(target=self._reporter.run, name="report", daemon=True)
        reporting.start()
        pause_s = POLL_S
        try:
            while not self._state.stopping.is_set():
                began = time.monotonic()
                pause_s = POLL_S if self._turn() else min(BACK_OFF_MAX_S, pause_s * 2)
                self._state.stopping.wait(max(0.0, pause_s - (time.monotonic() - began)))
        finally:
            self.stop()
            reporting.join(timeout=3)
            self._portal.close()
            self._folder.close()

    def _turn(self) -> bool:
        """Ask once and apply what is new; False when the portal was of no use."""
        try:
            fetched = self._portal.fetch_routes()
        except PortalUnavailable as error:
            self._note_problem(str(error))
            self._begin_with_kept()
            return False
        self._note_problem("")
        if fetched is not None:
            self._apply(fetched)
        elif (versions := self._folder.forget_old()) is not None:
            with self._state.lock:
                self._state.expected = versions
        return True

    def _begin_with_kept(self) -> None:
        """Without a portal, begin with the routes kept beside us, if this gateway never had any."""
        if self.config.kept_routes is None or self._folder.has_routes:
            return
        kept = read_kept(self.config.kept_routes)
        if kept is not None:
            log.warning("Beginning with kept routes %s until the portal answers.", kept.version)
            self._apply(Fetched(kept, clock_offset_s=0.0))

    def _apply(self, fetched: Fetched) -> None:
        """Start measuring, then write: a measurement has to see the answers before the change too."""
        routes = fetched.routes
        with self._state.lock:
            self._state.clock_offset_s = fetched.clock_offset_s
            self._state.counts.follow(routes)
        self._start_probers(routes)
        versions = self._folder.write(routes)
        with self._state.lock:
            self._state.routes, self._state.expected = routes, versions
        self._compare_shadows(routes)
        self._state.news.set()
        log.info("Wrote routes %s of %d deployments.", routes.version, len(routes.deployments))

    def _await_clusters(self, version: str) -> None:
        """Wait until Envoy uses these clusters; a name that nobody finds holds up the rest for a moment."""
        deadline = time.monotonic() + SETTLE_S
        try:
            while not self._envoy.has_clusters(version) and time.monotonic() < deadline:
                self._state.stopping.wait(0.01)
        except EnvoyUnavailable:
            return  # it starts with these files
        finally:
            self._envoy.close()

    def _start_probers(self, routes: Routes) -> None:
        for deployment in routes.deployments:
            watch = deployment.watch
            if watch is None or not is_worth_measuring(watch, self._state.portal_time()):
                continue
            with self._state.lock:
                if watch.rollout_id in self._state.probers:
                    continue
                prober = self._state.probers[watch.rollout_id] = self._make_prober(deployment)
            threading.Thread(target=self._measure, args=(prober,), name="probe", daemon=True).start()

    def _compare_shadows(self, routes: Routes) -> None:
        """Have each shadow compared while the routes name it."""
        shadows = {each.shadow.rollout_id: each for each in routes.deployments if each.shadow and each.stable}
        for rollout in self._comparers.keys() - shadows.keys():
            self._comparers.pop(rollout).stop()
        for rollout in shadows.keys() - self._comparers.keys():
            comparer = self._comparers[rollout] = self._make_comparer(shadows[rollout])
            threading.Thread(target=comparer.run, name="compare", daemon=True).start()
        with self._state.lock:
            self._state.pairs = {
                rollout: pairs for rollout, pairs in self._state.pairs.items() if rollout in shadows
            }

    def _make_comparer(self, deployment: DeploymentRoute) -> Comparer:
        return Comparer(
            deployment,
            self._state,
            portal=Portal(self.config.portal_url, self.config.token, self.config.backend),
            ports=self.config.ports,
            sign=lambda: self._key.token(deployment.audience),
            probe_mark=self._probe_mark,
        )

    def _make_prober(self, deployment: DeploymentRoute) -> Prober:
        return Prober(
            deployment,
            ports=self.config.ports,
            token=self._key.token(deployment.audience),
            probe_mark=self._probe_mark,
            clock_offset_s=self._state.clock_offset_s,
        )

    def _measure(self, prober: Prober) -> None:
        measured = prober.measure()
        log.info("Measured %s", measured)
        with self._state.lock:
            self._state.measured[measured.rollout_id] = measured
        self._state.news.set()

    def _note_problem(self, problem: str) -> None:
        with self._state.lock:
            before, self._state.problem = self._state.problem, problem
        if problem and problem != before:
            log.warning("%s", problem)
        elif before and not problem:
            log.info("The portal answers again.")


def run_until_signalled(config: AgentConfig) -> None:
    """Run an agent until SIGTERM or SIGINT."""
    agent = Agent(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    agent.run()


def main() -> None:
    """Run an agent with settings from the environment alone, as a sidecar does."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    run_until_signalled(read_config(os.environ.get, Path(os.environ["AISLE_HOME"])))


if __name__ == "__main__":
    main()
