"""What an agent's threads share: the routes in force, the clock, and measurements under way."""

import threading
import time
from dataclasses import dataclass, field

from deployments_app.agent_counts import ArmCounts
from deployments_app.agent_probe import Prober
from deployments_app.gateway import Pairs, Routes, WatchReport


@dataclass
class AgentState:
    """Guarded by `lock`; `news` wakes the reporter before its second is over."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    news: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    routes: Routes | None = None
    expected: dict[str, str] = field(
        default_factory=dict
    )  # the version of each file Envoy should come to run
    clock_offset_s: float = 0.0  # the portal's clock minus ours
    problem: str = ""  # of the last talk with the portal
    counts: ArmCounts = field(default_factory=ArmCounts)
    probers: dict[str, Prober] = field(default_factory=dict)  # by rollout, finished ones too: once each
    pairs: dict[str, Pairs] = field(default_factory=dict)  # by rollout, summed up since this agent began
    measured: dict[str, WatchReport] = field(default_factory=dict)  # by rollout, until the portal took it

    def stop(self) -> None:
        """Ask every thread to end soon."""
        self.stopping.set()
        self.news.set()

    def portal_time(self) -> float:
        """Tell the portal's time as reckoned here, in seconds since 1970."""
        return time.time() + self.clock_offset_s
