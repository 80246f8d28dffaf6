"""The local backend keeps the contract with real model servers, and what only it must do."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from itertools import count
from pathlib import Path

import pytest

from deployments_app.backends.base import ReleaseSpec
from deployments_app.backends.local import BACK_OFF_S, LocalBackend
from deployments_app.backends.local_process import ProcessId
from deployments_app.testing import BackendContract, spec_of, wait_until
from engine.tests.serving_process import make_artifact
from portal.core.errors import BackendError

numbers = count(1)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return make_artifact(tmp_path_factory.mktemp("artifact") / "model", "popularity")


@pytest.fixture
def new_spec(artifact):
    def make(**changes) -> ReleaseSpec:
        return spec_of(next(numbers), artifact.folder, artifact.digest, "popularity", **changes)

    return make


def folder_of(backend, spec):
    return backend.root / f"{spec.key}-0"


def state_of(backend, key):
    return json.loads((backend.root / f"{key}-0" / "state.json").read_text())


def process_of(backend, key):
    state = state_of(backend, key)
    return ProcessId(state["pid"], state["start_ticks"])


class TestLocalBackend(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path):
        return LocalBackend(tmp_path / "run")

    @pytest.fixture
    def make_spec(self, new_spec):
        return new_spec

    def end_server(self, backend, key):
        os.kill(state_of(backend, key)["pid"], signal.SIGKILL)

    def test_a_server_outlives_the_process_that_started_it(self, backend, make_spec, release):
        spec = release()
        self.await_ready(backend, spec)
        another_life = LocalBackend(backend.root.parent)
        before = state_of(backend, spec.key)
        another_life.apply(spec)
        assert another_life.observe(spec.key).is_ready
        assert state_of(backend, spec.key) == before
        assert os.getsid(before["pid"]) != os.getsid(0)

    def test_a_restarted_server_keeps_its_address(self, backend, release):
        spec = release()
        before = self.await_ready(backend, spec)
        self.end_server(backend, spec.key)
        wait_until(lambda: not backend.observe(spec.key).is_ready, within_s=5, what="its end is seen")
        assert self.await_ready(backend, spec).endpoints == before.endpoints

    def test_a_stolen_port_is_replaced(self, backend, release):
        spec = release()
        before = self.await_ready(backend, spec)
        port = int(before.endpoints[0].rpartition(":")[2])
        self.end_server(backend, spec.key)
        wait_until((folder_of(backend, spec) / "exit").exists, within_s=5, what="its end")
        with socket.create_server(("127.0.0.1", port)):
            status = self.await_ready(backend, spec)
        assert status.endpoints != before.endpoints

    def test_a_killed_server_is_told_of_in_words(self, backend, release):
        spec = release()
        self.await_ready(backend, spec)
        self.end_server(backend, spec.key)
        wait_until(
            lambda: "was killed by SIGKILL" in backend.observe(spec.key).reason,
            within_s=10,
            what="the reason says so",
        )

    def test_many_ends_in_a_row_slow_the_restarts_down(self, backend, release):
        spec = release(digest="0" * 64)
        waits = []

        def tried_three_times():
            backend.apply(spec)
            state = state_of(backend, spec.key)
            if state.get("is_counted"):
                waits.append(state["failures"])
            return state["restarts"] >= 3

        wait_until(tried_three_times, within_s=30, what="three restarts")
        assert state_of(backend, spec.key)["failures"] >= 3

        def put_off():
            backend.apply(spec)
            reason = backend.observe(spec.key).reason
            return "next start in" in reason and reason

        reason = wait_until(put_off, within_s=20, what="the reason tells of the next start")
        assert "ended with status 3" in reason
        assert "digest" in reason
        assert "digest" in backend.observe(spec.key).log
        assert list(BACK_OFF_S) == sorted(BACK_OFF_S)
        assert BACK_OFF_S[1] == 0  # the first end is no habit: back at once

    def test_a_server_whose_starter_died_before_noting_it_is_adopted(self, backend, release):
        spec = release()
        before = self.await_ready(backend, spec)
        pid = state_of(backend, spec.key)["pid"]
        (folder_of(backend, spec) / "state.json").unlink()
        assert self.await_ready(backend, spec).endpoints == before.endpoints
        assert state_of(backend, spec.key)["pid"] == pid

    def test_a_server_nobody_noted_is_removed_with_its_release(self, backend, release):
        spec = release()
        self.await_ready(backend, spec)
        process = process_of(backend, spec.key)
        (folder_of(backend, spec) / "state.json").unlink()
        self.await_gone(backend, spec.key)
        assert not process.is_alive()

    def test_no_room_on_the_machine_is_a_reason_that_may_pass(self, backend, make_spec, monkeypatch):
        def full(*args, **options):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("deployments_app.backends.local.local_process.start", full)
        with pytest.raises(BackendError, match="No space left") as refusal:
            backend.apply(make_spec())
        assert refusal.value.retryable

    def test_two_workers_at_once_start_one_server(self, backend, make_spec):
        spec = make_spec()
        barrier = threading.Barrier(8)

        def apply():
            barrier.wait()
            LocalBackend(backend.root.parent).apply(spec)

        threads = [threading.Thread(target=apply) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.await_ready(backend, spec)
        found = subprocess.run(
            ["pgrep", "-f", str(folder_of(backend, spec) / "config.json")], capture_output=True, text=True
        )
        servers = [pid for pid in found.stdout.split() if _is_server(int(pid))]
        self.await_gone(backend, spec.key)
        assert len(servers) == 1

    def test_a_server_sees_nothing_of_our_environment(self, backend, release, monkeypatch):
        monkeypatch.setenv("CANARY_SECRET", "seen")
        spec = release()
        self.await_ready(backend, spec)
        environment = Path(f"/proc/{state_of(backend, spec.key)['pid']}/environ").read_bytes()
        assert b"CANARY_SECRET" not in environment
        assert b"SECRET_KEY" not in environment
        assert b"DATABASE_URL" not in environment

    def test_only_the_owner_can_read_what_a_server_is_told(self, backend, release):
        spec = release()
        folder = folder_of(backend, spec)
        for name in ("config.json", "signing.key", "state.json", "server.log"):
            assert (folder / name).stat().st_mode & 0o077 == 0, name

    def test_a_server_listens_on_loopback_only_and_within_limits(self, backend, release):
        spec = release(memory_mb=700, cpu_s=900)
        status = self.await_ready(backend, spec)
        assert status.endpoints[0].startswith("127.0.0.1:")
        limits = Path(f"/proc/{state_of(backend, spec.key)['pid']}/limits").read_text()
        assert "Max open files            4096" in limits
        assert "Max address space         unlimited" not in limits
        assert "Max data size             700000000" in limits
        assert "Max cpu time              900                  910" in limits

    def test_a_damaged_artifact_never_serves(self, backend, release, artifact, tmp_path):
        copy = tmp_path / "damaged"
        shutil.copytree(artifact.folder, copy)
        member = max(copy.glob("*.npy"), key=lambda path: path.stat().st_size)
        content = bytearray(member.read_bytes())
        content[-1] ^= 1
        member.write_bytes(bytes(content))
        spec = release(artifact=copy)

        def reason():
            backend.apply(spec)
            assert not backend.observe(spec.key).is_ready
            status = backend.observe(spec.key)
            return status.reason if status.restarts else None

        assert "ended with status 3" in wait_until(reason, within_s=20, what="it ended")

    def test_a_server_that_will_not_stop_is_killed_after_its_grace(self, backend, make_spec, monkeypatch):
        deaf = (
            sys.executable,
            "-c",
            "import signal, time; signal.signal(15, lambda *_: None); time.sleep(60)",
        )
        stubborn = LocalBackend(backend.root.parent, server=(*deaf, "--"))
        spec = make_spec()
        stubborn.apply(spec)
        process = process_of(stubborn, spec.key)
        wait_until(lambda: _ignores_term(process.pid), within_s=10, what="it is deaf to SIGTERM")
        stubborn.remove(spec.key)
        assert process.is_alive()
        monkeypatch.setattr("deployments_app.backends.local.GRACE_S", 0.2)
        self.await_gone(stubborn, spec.key)
        assert not process.is_alive()

    def test_what_a_machine_restart_left_is_started_anew(self, backend, make_spec, release):
        spec = release()
        self.await_ready(backend, spec)
        process = process_of(backend, spec.key)
        path = folder_of(backend, spec) / "state.json"
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: not process.is_alive(), within_s=5, what="its end")
        # After a restart the number may belong to somebody else, who must neither be believed nor killed.
        path.write_text(json.dumps({**json.loads(path.read_text()), "pid": os.getpid(), "start_ticks": 1}))
        self.await_ready(backend, spec)
        assert state_of(backend, spec.key)["pid"] != os.getpid()


def _is_server(pid):
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"engine.serving" in command and b"/bin/sh" not in command


def _ignores_term(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(line for line in lines if line.startswith("SigCgt"))
    return int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1
