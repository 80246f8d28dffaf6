"""Find and end what an earlier life of the stack left running.

Model servers have sessions of their own and outlive the portal on purpose; `make stop` ends them by what
the local backend recorded. Other processes are left over only when the supervisor itself was killed; they
carry its address in their environment.
"""

import contextlib
import json
import os
import signal
import time
from pathlib import Path

from deployments_app.backends.local_process import ProcessId
from portal.stack.home import StackHome


def model_servers(home: StackHome) -> list[ProcessId]:
    """Return the live model servers that the local backend recorded in `run/releases/*/state.json`."""
    found = []
    for file in (home.run / "releases").glob("*/state.json"):
        try:
            state = json.loads(file.read_text())
            recorded = ProcessId(int(state["pid"]), int(state["start_ticks"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # half written, or of a release that never started
        if recorded.is_alive():
            found.append(recorded)
    return found


def supervised_processes(server_url: str) -> list[ProcessId]:
    """Return the live processes that carry this supervisor's address in their environment."""
    mark = b"SUPERVISOR_SERVER_URL=" + os.fsencode(server_url)
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue  # gone meanwhile, or another user's
        process = ProcessId.find(int(folder.name)) if mark in environment.split(b"\0") else None
        if process is not None and process.pid != os.getpid():
            found.append(process)
    return found


def end_processes(processes: list[ProcessId], *, patience_s: float = 5.0) -> None:
    """Ask the processes to end, then end those that did not."""
    for process in processes:
        _send(process, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while any(process.is_alive() for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in processes:
        _send(process, signal.SIGKILL)


def _send(process: ProcessId, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        if process.is_alive():
            os.kill(process.pid, number)
