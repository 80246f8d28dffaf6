"""Loopback ports: choose some that stay free while the stack is stopped, and wait until one answers."""

import random
import socket
import time
from collections.abc import Callable, Collection

from portal.stack.errors import NotReady, StackFailed

LOOPBACK = "127.0.0.1"

# Below the range that the kernel hands to outgoing connections (32768 and up on Linux): a remembered
# port in that range would be taken by chance now and then.
REMEMBERED_PORTS = range(20_000, 30_000)


def wait_for(ask: Callable[[], None], *, deadline: float) -> None:
    """Ask until it is no longer NotReady; raises the last NotReady at the deadline (`time.monotonic`)."""
    while True:
        try:
            return ask()
        except NotReady:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose_port(preferred: int | None = None, *, taken: Collection[int] = ()) -> int:
    """Choose a free port, the preferred one where possible."""
    if preferred is not None and preferred not in taken and is_free(preferred):
        return preferred
    for _ in range(200):
        port = random.choice(REMEMBERED_PORTS)  # noqa: S311 - a port is no secret
        if port not in taken and is_free(port):
            return port
    raise StackFailed(f"No free port between {REMEMBERED_PORTS.start} and {REMEMBERED_PORTS.stop}.")
