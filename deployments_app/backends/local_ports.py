"""Ports for model servers: loopback, free, and remembered so that a restarted server keeps its address."""

import random
import socket
from collections.abc import Collection

LOOPBACK = "127.0.0.1"
# Apart from the stack's own ports, and below what the kernel hands to outgoing connections (32768 and up).
PORTS = range(30_000, 32_768)


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose_port(preferred: int | None, taken: Collection[int]) -> int:
    """Choose a free port, the preferred one where possible."""
    if preferred is not None and is_free(preferred):
        return preferred
    for _ in range(500):
        port = random.choice(PORTS)  # noqa: S311 - a port is no secret
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port between {PORTS.start} and {PORTS.stop}")
