"""Tell when the stack is ready, and which program keeps it from being so."""

import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection
from typing import Any

from celery import Celery

from portal.stack.errors import NotReady, StackFailed
from portal.stack.home import StackHome
from portal.stack.ports import wait_for
from portal.stack.programs import LABELS, Program, log_file, node_name
from portal.stack.supervisor import RUNNING, Supervisor

FAILED_STARTS = 3  # so often must a program end before we call it failed
TAIL_LINES = 20


class Watch:
    """Notices programs that keep ending."""

    def __init__(self, home: StackHome, supervisor: Supervisor) -> None:
        self.home = home
        self.supervisor = supervisor
        self.states: dict[str, dict[str, Any]] = {}
        self._starts: dict[str, set[int]] = {}

    def look(self) -> None:
        """Read the states anew; raises StackFailed when a program has ended too often."""
        self.states = self.supervisor.states()
        for name, info in self.states.items():
            starts = self._starts.setdefault(name, set())
            starts.add(info["start"])
            if info["statename"] == "FATAL" or len(starts) > FAILED_STARTS:
                raise StackFailed(f"{LABELS[name]} does not start.\n{tail(self.home, name)}")

    def is_running(self, name: str) -> bool:
        return bool(self.states[name]["statename"] == RUNNING)


def wait_for_server(
    home: StackHome, supervisor: Supervisor, name: str, ask: Callable[[], None], *, deadline: float
) -> None:
    """Wait until a server answers; raises StackFailed when it keeps ending, or at the deadline."""
    watch = Watch(home, supervisor)

    def look_and_ask() -> None:
        watch.look()
        ask()

    try:
        wait_for(look_and_ask, deadline=deadline)
    except NotReady as error:
        raise StackFailed(f"{error}\n{tail(home, name)}") from error


def wait_until_ready(
    home: StackHome, supervisor: Supervisor, programs: list[Program], *, deadline: float
) -> None:
    """Wait until every program does its work; raises StackFailed at the deadline (`time.monotonic`)."""
    probes: dict[str, Callable[[], bool]] = {
        "web": lambda: answers(home.values["PORTAL_URL"] + "/healthz"),
        "gateway": lambda: answers(home.values["GATEWAY_URL"] + "/"),
    }
    watch = Watch(home, supervisor)
    waiting = {program.name for program in programs}
    workers = {name for name in waiting if name.startswith("worker-")}
    with Celery("probe", broker=os.environ.get("REDIS_URL") or home.values["REDIS_URL"]) as celery:
        while True:
            watch.look()
            for name in waiting - workers:
                if probes[name]() if name in probes else watch.is_running(name):
                    waiting.discard(name)
            if waiting and waiting <= workers:  # a ping waits for its answers, so it comes last
                waiting -= answering_workers(celery, home, waiting)
            if not waiting:
                return
            if time.monotonic() > deadline:
                name = min(waiting)
                raise StackFailed(f"{LABELS[name]} is not ready in time.\n{tail(home, name)}")
            time.sleep(0.1)


def answers(url: str) -> bool:
    """Tell whether something useful answers at this address: any answer but a server's error."""
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own http address
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def answering_workers(celery: Celery, home: StackHome, names: Collection[str]) -> set[str]:
    """Return those of the worker programs that answer a ping through the broker."""
    nodes = {node_name(home, name.removeprefix("worker-")): name for name in names}
    replies = celery.control.ping(destination=list(nodes), timeout=0.5, limit=len(nodes))
    return {nodes[node] for reply in replies for node in reply}


def tail(home: StackHome, name: str) -> str:
    """Return the last lines of a program's log, with the log's path."""
    file = log_file(home, name)
    lines = file.read_text(errors="replace").splitlines()[-TAIL_LINES:] if file.exists() else []
    shown = "\n".join(f"    {line}" for line in lines) or "    (nothing was written)"
    return f"The last lines of {file}:\n{shown}"
