"""Find and end what an earlier life of the stack left running.

Model servers have sessions of their own and outlive the portal on purpose; `make stop` ends them by what
the local backend recorded. Other processes are left over only when the supervisor itself was killed; they
carry its address in their environment.
"""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from portal.stack.home import StackHome


@dataclass(frozen=True)
class Process:
    """A process, and when it started: a number alone may have passed to another."""

    pid: int
    start_ticks: int

    @classmethod
    def find(cls, pid: int) -> "Process | None":
        """Return the live process of this number, if there is one."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return None
        return None if fields[0] == "Z" else cls(pid, int(fields[19]))

    def is_alive(self) -> bool:
        return Process.find(self.pid) == self

    def send(self, number: int) -> None:
        if self.is_alive():
            os.kill(self.pid, number)


def model_servers(home: StackHome) -> list[Process]:
    """Return the live model servers that the local backend recorded in `run/releases/*/state.json`."""
    found = []
    for file in (home.run / "releases").glob("*/state.json"):
        try:
            state = json.loads(file.read_text())
            recorded = Process(int(state["pid"]), int(state["start_ticks"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # half written, or of a release that never started
        if recorded.is_alive():
            found.append(recorded)
    return found


def supervised_processes(server_url: str) -> list[Process]:
    """Return the live processes that carry this supervisor's address in their environment."""
    mark = b"SUPERVISOR_SERVER_URL=" + os.fsencode(server_url)
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue  # gone meanwhile, or another user's
        process = Process.find(int(folder.name)) if mark in environment.split(b"\0") else None
        if process is not None and process.pid != os.getpid():
            found.append(process)
    return found


def end_processes(processes: list[Process], *, patience_s: float = 5.0) -> None:
    """Ask the processes to end, then end those that did not."""
    for process in processes:
        process.send(signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while any(process.is_alive() for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in processes:
        process.send(signal.SIGKILL)
