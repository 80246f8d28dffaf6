"""The stack comes up, keeps its processes alive, and loses nothing by being stopped or killed."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from portal.stack.home import CODE_DIR, StackHome
from portal.stack.leftovers import supervised_processes
from portal.stack.lifecycle import bring_down
from portal.stack.readiness import answers
from portal.stack.supervisor import RUNNING, Supervisor
from tests.running_stack import RunningStack
from tests.services import OWN_SETTINGS, temporary_folder

pytestmark = pytest.mark.fault

PROGRAMS = ["web", "worker-train", "worker-deploy", "worker-light", "dispatcher", "agent", "gateway"]


def eventually(check: Callable[[], bool], what: str, *, within_s: float = 25.0) -> float:
    """Wait for a fact; returns how long it took."""
    began = time.monotonic()
    while not check():
        assert time.monotonic() - began < within_s, f"not within {within_s} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - began


def is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


@pytest.mark.parametrize("program", ["postgres", "redis", *PROGRAMS])
def test_a_killed_program_is_back(stack: RunningStack, program: str) -> None:
    killed = stack.kill(program)

    def is_back() -> bool:
        state = Supervisor(stack.home).states()[program]
        return state["statename"] == RUNNING and state["pid"] != killed

    took = eventually(is_back, f"{program} is back")
    took += eventually(lambda: is_healthy(stack.portal_url), "the portal answers")
    took += eventually(lambda: answers(stack.gateway_url), "the gateway answers")
    print(f"{program} back after {took:.1f} s")


def test_everything_listens_on_loopback_only(stack: RunningStack) -> None:
    ports = {int(value) for name, value in stack.values.items() if name.endswith("_PORT")}
    listening = subprocess.run(
        ["cat", "/proc/net/tcp", "/proc/net/tcp6"], capture_output=True, text=True
    ).stdout
    addresses: dict[int, set[str]] = {}
    for line in listening.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[3] == "0A":  # LISTEN
            address, port = fields[1].split(":")
            addresses.setdefault(int(port, 16), set()).add(address)
    assert ports <= addresses.keys()
    assert {address for port in ports for address in addresses[port]} == {"0100007F"}


class OwnStack:
    """A stack that this test starts and stops with the command itself."""

    def __init__(self, home: StackHome) -> None:
        self.home = home

    def up(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name not in OWN_SETTINGS}
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "manage.py", "up", *arguments],
            cwd=CODE_DIR, env=environment | {"AISLE_HOME": str(self.home.path)},
            capture_output=True, text=True,
        )  # fmt: skip
        print(f"up {' '.join(arguments)}: {time.monotonic() - began:.1f} s")
        self.home.load()
        return done

    def left_running(self) -> list[int]:
        return [process.pid for process in supervised_processes(Supervisor(self.home).server_url)]


@pytest.fixture
def own_stack() -> Iterator[OwnStack]:
    home = StackHome(temporary_folder("aisle-own-"))
    yield OwnStack(home)
    bring_down(home)
    subprocess.run(["rm", "-rf", str(home.path)], check=True)


def write_a_note(home: StackHome) -> None:
    with psycopg.connect(home.values["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE note AS SELECT 42 AS answer")


def read_the_note(home: StackHome) -> int:
    with psycopg.connect(home.values["DATABASE_URL"]) as connection:
        row = connection.execute("SELECT answer FROM note").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.long
def test_data_outlives_a_stop_and_a_kill_of_everything(own_stack: OwnStack) -> None:
    first = own_stack.up()
    assert first.returncode == 0, first.stdout + first.stderr
    assert own_stack.home.values["PUBLIC_URL"] in first.stdout
    write_a_note(own_stack.home)
    chosen = dict(own_stack.home.values)

    again = own_stack.up()
    assert again.returncode == 0
    assert "running already" in again.stdout

    assert own_stack.up("--stop").stdout == "Stopped.\n"
    assert own_stack.left_running() == []
    assert own_stack.up("--stop").stdout == "Nothing was running.\n"

    assert own_stack.up().returncode == 0
    assert read_the_note(own_stack.home) == 42
    assert own_stack.home.values == chosen, "the same ports and secrets"

    # The supervisor dies and leaves its programs behind; then everything dies, as when the power fails.
    os.kill(Supervisor(own_stack.home).call("getPID"), signal.SIGKILL)
    assert own_stack.up().returncode == 0
    assert read_the_note(own_stack.home) == 42
    processes = [Supervisor(own_stack.home).call("getPID"), *own_stack.left_running()]
    for pid in processes:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)
    lock = own_stack.home.postgres / "postmaster.pid"
    stale = lock.read_text().split("\n", 1)[1]
    lock.write_text(f"{os.getpid()}\n{stale}")  # after a restart the number may be someone else's
    assert own_stack.up().returncode == 0
    assert read_the_note(own_stack.home) == 42
    assert is_healthy(own_stack.home.values["PUBLIC_URL"])


def test_up_starts_again_what_was_given_up(stack: RunningStack) -> None:
    Supervisor(stack.home).call("stopProcess", "application:dispatcher")
    assert Supervisor(stack.home).states()["dispatcher"]["statename"] == "STOPPED"
    OwnStack(stack.home).up()
    assert Supervisor(stack.home).states()["dispatcher"]["statename"] == RUNNING


def test_a_program_that_cannot_start_is_named_with_its_last_lines(own_stack: OwnStack) -> None:
    own_stack.home.prepare()
    (own_stack.home.postgres).mkdir()  # not a database
    failed = own_stack.up()
    assert failed.returncode == 1
    assert "PostgreSQL" in failed.stderr
    assert str(own_stack.home.logs / "postgres.log") in failed.stderr
    assert own_stack.left_running() == []
