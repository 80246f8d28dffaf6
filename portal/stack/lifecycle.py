"""Bring the stack up and down: the order of things, and what is said on the way."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from portal.stack import postgres_server, redis_server
from portal.stack.errors import StackFailed
from portal.stack.home import CODE_DIR, StackHome
from portal.stack.leftovers import end_processes, model_servers, supervised_processes
from portal.stack.locks import one_at_a_time
from portal.stack.ports import is_free
from portal.stack.programs import (
    application,
    log_file,
    python,
    servers,
    shared_environment,
    uses_own_database,
    uses_own_redis,
)
from portal.stack.readiness import tail, wait_for_server, wait_until_ready
from portal.stack.supervisor import RUNNING, Supervisor

Say = Callable[[str], None]
STARTUP_DEADLINE_S = 120.0


@dataclass(frozen=True)
class StackUp:
    """What `bring_up` did: whether the stack ran before, and how long the start took."""

    was_running: bool
    took_s: float


def bring_up(home: StackHome, say: Say, *, deadline_s: float = STARTUP_DEADLINE_S) -> StackUp:
    """Start the stack and wait until it is ready; a running one is left alone.

    Raises StackFailed, after stopping what it had started, with the program that failed and its last lines.
    """
    began = time.monotonic()
    deadline = began + deadline_s
    home.path.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(home.path):
        home.load()
        home.prepare()
        supervisor = Supervisor(home)
        if supervisor.is_running():
            _mend(home, supervisor, deadline)
            return StackUp(was_running=True, took_s=time.monotonic() - began)
        _clear_the_place(home, supervisor, say)
        try:
            _start(home, supervisor, say, deadline)
        except BaseException:
            supervisor.stop()
            raise
    return StackUp(was_running=False, took_s=time.monotonic() - began)


def bring_down(home: StackHome) -> bool:
    """Stop everything, model servers too; returns whether anything ran."""
    if not home.path.exists():
        return False
    with one_at_a_time(home.path):
        supervisor = Supervisor(home)
        was_running = supervisor.is_running()
        supervisor.stop()
        left = [*model_servers(home), *supervised_processes(supervisor.server_url)]
        end_processes(left)
        _end_leftover_redis(home)
        home.remove_socket_folder()
    return was_running or bool(left)


def _mend(home: StackHome, supervisor: Supervisor, deadline: float) -> None:
    """Start again what the supervisor gave up, in a stack that runs."""
    states = supervisor.states()
    if all(info["statename"] == RUNNING for info in states.values()):
        return
    for group in sorted({info["group"] for info in states.values()}, reverse=True):  # servers first
        supervisor.start_group(group)
    wait_until_ready(home, supervisor, application(home), deadline=deadline)


def _clear_the_place(home: StackHome, supervisor: Supervisor, say: Say) -> None:
    """End what a killed supervisor left behind, save model servers, and make sure our ports are free."""
    supervisor.stop()  # one that was interrupted while it stopped
    serving = set(model_servers(home))
    end_processes([p for p in supervised_processes(supervisor.server_url) if p not in serving])
    _end_leftover_redis(home)
    changes = home.replace_taken_ports()
    for sentence in changes:
        say(sentence)
    if changes:  # the gateway would start from the old ones
        (home.gateway / "bootstrap.json").unlink(missing_ok=True)


def _end_leftover_redis(home: StackHome) -> None:
    if "REDIS_PORT" in home.values and not is_free(int(home.values["REDIS_PORT"])):
        redis_server.end_leftover(home.values["REDIS_URL"])


def _start(home: StackHome, supervisor: Supervisor, say: Say, deadline: float) -> None:
    values = home.values
    if uses_own_database():
        if not home.postgres.exists():
            say("Making the database ...")
        opened = postgres_server.init_cluster(home.postgres, password=values["POSTGRES_PASSWORD"])
        for folder in opened:
            say(f"Opened {folder} for passing through (o+x), for the database's own user.")
        postgres_server.remove_stale_lock(home.postgres)
    programs = application(home)
    supervisor.start(servers(home), programs, deadline=deadline)
    if uses_own_database():
        create = partial(
            postgres_server.create_role_and_database,
            int(values["POSTGRES_PORT"]),
            password=values["POSTGRES_PASSWORD"],
            role_password=values["DATABASE_PASSWORD"],
        )
        wait_for_server(home, supervisor, "postgres", create, deadline=deadline)
    if uses_own_redis():
        ping = partial(redis_server.ping, values["REDIS_URL"])
        wait_for_server(home, supervisor, "redis", ping, deadline=deadline)
    migrate(home)
    supervisor.start_group("application")
    wait_until_ready(home, supervisor, programs, deadline=deadline)


def migrate(home: StackHome) -> None:
    """Bring the database's tables up to date; raises StackFailed with what the command said."""
    log = log_file(home, "migrate")
    with log.open("w") as output:
        ended = subprocess.run(
            python("manage.py", "migrate", "--no-input", "--skip-checks"),
            cwd=CODE_DIR, env=os.environ | shared_environment(home), stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    if ended.returncode != 0:
        raise StackFailed(f"The database's tables could not be brought up to date.\n{tail(home, 'migrate')}")


def summary(home: StackHome) -> str:
    """Return a table of what runs where."""
    values = home.values
    database = os.environ.get("DATABASE_URL") or values["DATABASE_URL"]
    broker = os.environ.get("REDIS_URL") or values["REDIS_URL"]
    rows = [
        ("Portal", os.environ.get("PUBLIC_URL") or values["PUBLIC_URL"]),
        ("Gateway", os.environ.get("GATEWAY_URL") or values["GATEWAY_URL"]),
        ("PostgreSQL", _place(database, own=uses_own_database())),
        ("Redis", _place(broker, own=uses_own_redis())),
        ("Workers", "train, deploy, light; dispatcher; gateway's agent"),
        ("Files", str(home.path)),
        ("Logs", f"{home.logs}   (make logs)"),
        ("Stop", "make stop"),
    ]
    return "\n".join(f"  {name:<11} {value}" for name, value in rows)


def _place(url: str, *, own: bool) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or ''}{'' if own else '   (yours)'}"


def say_to_terminal(sentence: str) -> None:
    """Print at once, also into a pipe."""
    print(sentence, file=sys.stdout, flush=True)
