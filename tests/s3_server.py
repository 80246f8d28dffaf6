"""A real S3 server for tests, where the machine has one.

AISLE_TEST_SERVERS names a program that runs it in the foreground until SIGTERM, on loopback, with the key
`test` and the secret `test-secret`: `PROGRAM s3 --data FOLDER --port PORT`.
"""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest

from portal.stack.errors import NotReady
from portal.stack.ports import LOOPBACK, choose_port, wait_for

PROGRAM = Path(
    os.environ.get("AISLE_TEST_SERVERS", Path(__file__).parents[2] / "shared" / "servers" / "serve")
)
MISSING = f"there is no S3 server: {PROGRAM} does not exist, and AISLE_TEST_SERVERS names no other"
KEYS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}
START_S = 60.0  # it may have to unpack itself first


@contextmanager
def running_s3(folder: Path) -> Iterator[str]:
    """Run the server, with its keys in the environment; yields its address."""
    port = choose_port()
    command: list[str | Path] = [PROGRAM, "s3", "--data", folder / "data", "--port", str(port)]
    with (
        (folder / "s3.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in KEYS.items():
            patch.setenv(name, value)
        try:
            wait_for(partial(_see_answer, server, port), deadline=time.monotonic() + START_S)
            yield f"http://{LOOPBACK}:{port}"
        finally:
            server.terminate()


def open_client(url: str) -> Any:
    """Open the server as any program would."""
    return boto3.session.Session().client("s3", endpoint_url=url)


def make_bucket(url: str) -> str:
    """Make a new bucket and return its name."""
    name = f"aisle-{secrets.token_hex(4)}"
    open_client(url).create_bucket(Bucket=name)
    return name


def _see_answer(server: subprocess.Popen[bytes], port: int) -> None:
    assert server.poll() is None, "the S3 server ended"
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError as error:
        raise NotReady("it does not listen yet") from error
