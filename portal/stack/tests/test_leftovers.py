"""Only what is ours is ended, even when a process number has passed to another."""

import json
import subprocess
import time

import pytest

from deployments_app.backends.local_process import ProcessId
from portal.stack.home import StackHome
from portal.stack.leftovers import end_processes, model_servers, supervised_processes


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "60"], env={"SUPERVISOR_SERVER_URL": "unix:///ours"})
    yield process
    process.kill()
    process.wait()


def found(process: subprocess.Popen[bytes]) -> ProcessId:
    live = ProcessId.find(process.pid)
    assert live is not None
    return live


def record(home: StackHome, release: str, text: str) -> None:
    folder = home.run / "releases" / release
    folder.mkdir(parents=True)
    (folder / "state.json").write_text(text)


def test_a_recorded_model_server_is_found_and_ended(tmp_path, sleeper):
    home = StackHome(tmp_path)
    process = found(sleeper)
    record(home, "rel_1", json.dumps({"pid": process.pid, "start_ticks": process.start_ticks}))
    assert model_servers(home) == [process]
    end_processes(model_servers(home))
    assert sleeper.wait(timeout=5) != 0
    assert model_servers(home) == []


def test_a_number_that_passed_to_another_process_is_left_alone(tmp_path, sleeper):
    home = StackHome(tmp_path)
    process = found(sleeper)
    record(home, "rel_1", json.dumps({"pid": process.pid, "start_ticks": process.start_ticks - 1}))
    assert model_servers(home) == []
    end_processes([ProcessId(process.pid, process.start_ticks - 1)], patience_s=0)
    assert sleeper.poll() is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": null, "start_ticks": 1}'])
def test_a_record_that_cannot_be_read_hides_no_other(tmp_path, sleeper, text):
    home = StackHome(tmp_path)
    process = found(sleeper)
    record(home, "rel_0", text)
    record(home, "rel_1", json.dumps({"pid": process.pid, "start_ticks": process.start_ticks}))
    assert model_servers(home) == [process]


def test_processes_are_recognised_by_their_supervisor(sleeper):
    assert supervised_processes("unix:///ours") == [found(sleeper)]
    assert supervised_processes("unix:///our") == []


def test_one_that_ignores_the_request_is_killed():
    stubborn = subprocess.Popen(
        ["sh", "-c", "trap '' TERM; echo ready; sleep 60 & wait; wait"], stdout=subprocess.PIPE
    )
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    began = time.monotonic()
    end_processes([found(stubborn)], patience_s=0.3)
    assert stubborn.wait(timeout=5) == -9
    assert time.monotonic() - began < 3
    stubborn.stdout.close()
