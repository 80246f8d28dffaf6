"""Lets pods reach a portal that listens on loopback: an address of the node, relayed byte by byte."""

import contextlib
import socket
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def relaying(listener: socket.socket, port: int) -> Iterator[None]:
    """Pass every connection that arrives at `listener` on to this port of loopback."""
    threading.Thread(target=_accept, args=(listener, port), daemon=True).start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _accept(listener: socket.socket, port: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            near, _ = listener.accept()
            threading.Thread(target=_join, args=(near, port), daemon=True).start()


def _join(near: socket.socket, port: int) -> None:
    with near:
        try:
            far = socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            return  # the portal is down: whoever asked sees its connection closed
        with far:
            far.settimeout(None)
            back = threading.Thread(target=_pump, args=(far, near), daemon=True)
            back.start()
            _pump(near, far)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
