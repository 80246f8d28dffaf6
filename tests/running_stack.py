"""A running stack, as journeys and fault tests see it: addresses, processes, commands."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from portal.stack.home import CODE_DIR, StackHome
from portal.stack.programs import log_file, shared_environment
from portal.stack.supervisor import Supervisor
from tests.services import OWN_SETTINGS


@dataclass(frozen=True)
class RunningStack:
    """One stack with its own folder; every test of a session shares it, so make a shop of your own."""

    path: Path

    @property
    def home(self) -> StackHome:
        home = StackHome(self.path)
        home.load()
        return home

    @property
    def values(self) -> dict[str, str]:
        """Return everything in `stack.json`."""
        return self.home.values

    @property
    def portal_url(self) -> str:
        return self.values["PUBLIC_URL"]

    @property
    def gateway_url(self) -> str:
        return self.values["GATEWAY_URL"]

    @property
    def database_url(self) -> str:
        return self.values["DATABASE_URL"]

    @property
    def redis_url(self) -> str:
        return self.values["REDIS_URL"]

    def pid(self, program: str) -> int:
        """Return the process of a program: web, worker-train, worker-deploy, dispatcher, gateway, …"""
        return int(Supervisor(self.home).states()[program]["pid"])

    def kill(self, program: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a program and return the process that it went to."""
        pid = self.pid(program)
        os.kill(pid, number)
        return pid

    def kill_all_of(self, program: str) -> None:
        """Kill a program with every process that it started."""
        for pid in descendants(self.pid(program)):
            _send(pid, signal.SIGKILL)

    @contextmanager
    def held(self, *programs: str) -> Iterator[None]:
        """Stop programs and what they started for a while, as if they were busy: what they are sent waits."""
        stopped: list[int] = []
        try:
            for program in programs:
                stopped.append(self.kill(program, signal.SIGSTOP))  # first: then it starts nothing more
                for pid in descendants(stopped[-1])[1:]:
                    _send(pid, signal.SIGSTOP)
                    stopped.append(pid)
            yield
        finally:
            for pid in stopped:
                _send(pid, signal.SIGCONT)

    def manage(self, *arguments: str) -> str:
        """Run a management command against this stack; returns what it printed, fails if it does."""
        environment = {name: value for name, value in os.environ.items() if name not in OWN_SETTINGS}
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=CODE_DIR, env=environment | shared_environment(self.home), capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"manage.py {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}"
        return done.stdout

    def log(self, program: str) -> str:
        """Return a program's log."""
        return log_file(self.home, program).read_text(errors="replace")


def descendants(pid: int) -> list[int]:
    """Return a process and all that it started, and those started in turn, the oldest first."""
    found = [pid]
    for each in found:
        with suppress(FileNotFoundError, ProcessLookupError):
            for task in os.listdir(f"/proc/{each}/task"):
                found += map(int, Path(f"/proc/{each}/task/{task}/children").read_text().split())
    return found


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
