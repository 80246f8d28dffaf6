"""Tell when the stack is ready, and which program keeps it from being so."""

import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from celery import Celery

from portal.stack.home import StackHome
from portal.stack.programs import Program, log_file, node_name
from portal.stack.supervisor import RUNNING, Supervisor

FAILED_STARTS = 3  # so often must a program end before we call it failed
TAIL_LINES = 20


class StackFailed(Exception):
    """The stack did not become ready; the text says which program failed and shows its last lines."""


def wait_until_ready(
    home: StackHome, supervisor: Supervisor, programs: list[Program], *, deadline: float
) -> None:
    """Wait until every program does its work; raises StackFailed at the deadline (`time.monotonic`)."""
    probes: dict[str, Callable[[], bool]] = {
        "web": lambda: answers(home.values["PORTAL_URL"] + "/healthz"),
        "gateway": lambda: answers(home.values["GATEWAY_URL"] + "/"),
    }
    workers = {program.name: program for program in programs if program.name.startswith("worker-")}
    waiting = {program.name: program for program in programs}
    starts: dict[str, set[int]] = {name: set() for name in waiting}
    with Celery("probe", broker=os.environ.get("REDIS_URL") or home.values["REDIS_URL"]) as celery:
        while waiting:
            states = supervisor.states()
            for name, program in list(waiting.items()):
                info = states[name]
                starts[name].add(info["start"])
                if info["statename"] == "FATAL" or len(starts[name]) > FAILED_STARTS:
                    raise StackFailed(f"{program.label} does not start.\n{tail(home, name)}")
                if name in workers:
                    continue
                probe = probes.get(name)
                if info["statename"] == RUNNING if probe is None else probe():
                    del waiting[name]
            asleep = [name for name in waiting if name in workers]
            if asleep and len(asleep) == len(waiting):
                for name in answering_workers(celery, home, asleep):
                    del waiting[name]
            if waiting and time.monotonic() > deadline:
                program = next(iter(waiting.values()))
                raise StackFailed(f"{program.label} is not ready in time.\n{tail(home, program.name)}")
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


def answering_workers(celery: Celery, home: StackHome, names: list[str]) -> list[str]:
    """Return those of the worker programs that answer a ping through the broker."""
    nodes = {node_name(home, name.removeprefix("worker-")): name for name in names}
    replies = celery.control.ping(destination=list(nodes), timeout=0.5, limit=len(nodes))
    return [nodes[node] for reply in replies for node in reply]


def tail(home: StackHome, name: str) -> str:
    """Return the last lines of a program's log, with the log's path."""
    file = log_file(home, name)
    lines = file.read_text(errors="replace").splitlines()[-TAIL_LINES:] if file.exists() else []
    shown = "\n".join(f"    {line}" for line in lines) or "    (nothing was written)"
    return f"The last lines of {file}:\n{shown}"
