"""A model server's life: it starts only with what it was told to serve, and ends without losing a request."""

import http.client
import json
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.artifacts import load_artifact, save_artifact
from engine.tests.serving_process import (
    KEY,
    N_USERS,
    RunningServer,
    SmallArtifact,
    make_artifact,
    running,
    server_config,
)

BAD_CONFIG, BAD_ARTIFACT, NO_PORT, CPU_SPENT = 2, 3, 4, 5


@pytest.fixture
def artifact(tmp_path: Path) -> SmallArtifact:
    return make_artifact(tmp_path / "artifact")


def ends_without_serving(config: Path, code: int, words: str) -> None:
    """Check that a server ends by itself, was never ready and says why in one line."""
    with running(config) as server:
        was_ready = False
        while server.process.poll() is None:
            was_ready = was_ready or server.is_ready()
            time.sleep(0.01)
        assert server.wait_for_end() == code, server.log.read_text()
        assert not was_ready
        lines = server.log.read_text().splitlines()
    assert len(lines) == 1, lines
    assert "ERROR not serving: " in lines[0]
    assert words in lines[0]


def test_it_says_what_it_serves_keeps_its_limits_and_never_shows_the_key(
    tmp_path: Path, artifact: SmallArtifact
) -> None:
    rlimits = {"as_bytes": 8 * 2**30, "nofile": 333}
    with running(server_config(tmp_path, artifact, rlimits=rlimits)) as server:
        server.wait_until_ready()
        log = server.log.read_text()
        limits = Path(f"/proc/{server.process.pid}/limits").read_text()
        shown = server.recommend("u1").body + server.ask("/metrics").body
        command = Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
    assert f"replayed {N_USERS} users" in log
    assert "all scores finite" in log
    assert "release 4 (rel_1), shop-main version 17 by als" in log
    row = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    assert row.split()[3:5] == ["333", "333"]
    assert str(8 * 2**30) in limits
    assert KEY not in shown + command + server.log.read_bytes()


def test_it_is_live_while_it_loads_and_ready_only_afterwards(tmp_path: Path, artifact: SmallArtifact) -> None:
    with running(server_config(tmp_path, artifact)) as server:
        seen: list[tuple[int, int, int]] = []
        while not seen or seen[-1][1] != 200:
            try:
                seen.append(
                    (
                        server.ask("/v2/health/live").status,
                        server.ask("/v2/health/ready").status,
                        server.recommend("u1").status,
                    )
                )
            except OSError:
                assert not seen, "it listened and then did not"
        assert all(live == 200 for live, _, _ in seen)
        assert seen[0][1] == 503, "nobody can load that fast"
        early = [answer for _, ready, answer in seen[:-1] if ready == 503]
        assert set(early) <= {503, 200}
        assert early[0] == 503


def test_one_changed_byte_never_serves(tmp_path: Path, artifact: SmallArtifact) -> None:
    """So is all else that `load_artifact` refuses, which its own tests go through member by member."""
    path = artifact.folder / "seen_indices.npy"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    ends_without_serving(server_config(tmp_path, artifact), BAD_ARTIFACT, "seen_indices")


def test_another_model_than_was_approved_never_serves(tmp_path: Path, artifact: SmallArtifact) -> None:
    other = make_artifact(tmp_path / "other", "popularity")
    swapped = SmallArtifact(other.folder, artifact.digest, "als", None)
    ends_without_serving(server_config(tmp_path, swapped), BAD_ARTIFACT, "digest")
    honest = SmallArtifact(other.folder, other.digest, "als", None)
    ends_without_serving(server_config(tmp_path, honest), BAD_ARTIFACT, "popularity")


def test_a_model_whose_scores_overflow_never_serves(tmp_path: Path, artifact: SmallArtifact) -> None:
    loaded = load_artifact(artifact.folder)
    for name in ("user_factors", "item_factors"):
        loaded.estimator.arrays()[name][:] = np.float32(1e38)  # finite, but not their products
    parts = {"user_ids": loaded.user_ids, "item_ids": loaded.item_ids, "seen": loaded.seen}
    digest = save_artifact(tmp_path / "huge", loaded.estimator, **parts)
    huge = SmallArtifact(tmp_path / "huge", digest, "als", None)
    ends_without_serving(server_config(tmp_path, huge), BAD_ARTIFACT, "not finite")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"port": 70000}, "port"),
        ({"digest": "abc"}, "digest"),
        ({"threads": 0}, "threads"),
        ({"model": None}, "missing: model"),
        ({"password": "x"}, "unknown: password"),
        ({"model_version": "17"}, "model_version"),
        ({"artifact": "relative/path"}, "artifact"),
        ({"rlimits": {"stack": 1}}, "rlimits"),
        ({"under_way_max": 0}, "under_way_max"),
        ({"cache_bytes": -1}, "cache_bytes"),
        ({"signing_key_file": "/nonexistent/key"}, "signing key"),
    ],
)
def test_a_wrong_setting_is_named(
    tmp_path: Path, artifact: SmallArtifact, changes: dict[str, Any], words: str
) -> None:
    ends_without_serving(server_config(tmp_path, artifact, **changes), BAD_CONFIG, words)


def test_secrets_that_others_can_read_are_refused(tmp_path: Path, artifact: SmallArtifact) -> None:
    config = server_config(tmp_path, artifact)
    config.chmod(0o644)
    ends_without_serving(config, BAD_CONFIG, "closed to others")
    config.chmod(0o600)
    (tmp_path / "signing.key").chmod(0o604)
    ends_without_serving(config, BAD_CONFIG, "signing key")


def test_a_stolen_port_is_said(tmp_path: Path, artifact: SmallArtifact) -> None:
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", 0))
        thief.listen()
        config = server_config(tmp_path, artifact, port=thief.getsockname()[1])
        ends_without_serving(config, NO_PORT, "cannot listen on 127.0.0.1")


def test_a_server_that_used_its_processor_time_ends_in_good_order(
    tmp_path: Path, artifact: SmallArtifact
) -> None:
    config = server_config(tmp_path, artifact, rlimits={"cpu_s": 2}, drain_s=0.1)
    with running(config) as server:
        server.wait_until_ready()
        shopper = Shopper(server, 1)
        shopper.start()
        assert server.wait_for_end() == CPU_SPENT
        shopper.join(10)
        assert not shopper.failures
        last = server.log.read_text().splitlines()[-1]
    assert "ended: it has used the 2 seconds of processor time that it may" in last


class Shopper(threading.Thread):
    """One client on one connection, until it is told to stop or the server says that it closes."""

    def __init__(self, server: RunningServer, n: int) -> None:
        super().__init__(daemon=True)
        self.server, self.n = server, n
        self.answers: list[tuple[str, list[str]]] = []
        self.failures: list[str] = []
        self.is_over = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        try:
            while not self.is_over.is_set():
                user = f"u{(self.n * 7 + len(self.answers)) % 50}"
                connection.request("GET", f"/s/d/recommendations?user={user}&k=5")
                answer = connection.getresponse()
                body = json.loads(answer.read())
                if answer.status != 200:
                    self.failures.append(f"{answer.status} {body}")
                self.answers.append((user, [item["item_id"] for item in body["items"]]))
                if answer.will_close:
                    return
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.failures.append(repr(error))
        finally:
            connection.close()


def test_many_connections_at_once_each_get_their_own_lists(tmp_path: Path, artifact: SmallArtifact) -> None:
    with running(server_config(tmp_path, artifact)) as server:
        server.wait_until_ready()
        expected = {f"u{n}": server.recommend(f"u{n}", "&k=5").items for n in range(50)}
        shoppers = [Shopper(server, n) for n in range(16)]
        for shopper in shoppers:
            shopper.start()
        time.sleep(2)
        for shopper in shoppers:
            shopper.is_over.set()
            shopper.join(10)
    answers = [answer for shopper in shoppers for answer in shopper.answers]
    assert not [failure for shopper in shoppers for failure in shopper.failures]
    assert len(answers) > 500
    assert all(items == expected[user] for user, items in answers)


def test_too_many_at_once_are_refused_and_all_others_answered(
    tmp_path: Path, artifact: SmallArtifact
) -> None:
    with running(server_config(tmp_path, artifact, under_way_max=4, cache_bytes=0)) as server:
        server.wait_until_ready()
        request = b"GET /s/d/recommendations?user=u1 HTTP/1.1\r\nhost: x\r\n\r\n"
        crowd = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(40)]
        slow = b"POST /s/d/recommendations?user=u1 HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n"
        for raw in crowd[20:]:  # a body that is still on its way keeps nobody out
            raw.sendall(slow)
        time.sleep(0.1)
        assert server.recommend("u1").json["cache"] == "off"
        server.process.send_signal(signal.SIGSTOP)  # so that all of them arrive in the same moment
        for raw in crowd[:20]:
            raw.sendall(request)
        server.process.send_signal(signal.SIGCONT)
        answers = [raw.recv(8192) for raw in crowd[:20]]
        assert server.recommend("u1").status == 200, "the crowd has gone"
        for raw in crowd[20:]:
            raw.sendall(b"{}")
            assert raw.recv(8192).startswith((b"HTTP/1.1 200", b"HTTP/1.1 429"))
        for raw in crowd:
            raw.close()
        assert server.metric("aisle_refused_total", status="429") > 0
        assert server.ask("/v2/health/ready").status == 200
    statuses = [answer[9:12] for answer in answers]
    assert statuses.count(b"200") >= 4
    refusals = [answer for answer in answers if answer[9:12] == b"429"]
    assert len(refusals) == 20 - statuses.count(b"200") > 0
    assert all(b"retry-after: 1" in answer and b'"code":"overloaded"' in answer for answer in refusals)


def test_sigterm_fails_readiness_first_and_loses_no_request(tmp_path: Path, artifact: SmallArtifact) -> None:
    with running(server_config(tmp_path, artifact, drain_s=1.0)) as server:
        server.wait_until_ready()
        shoppers = [Shopper(server, n) for n in range(8)]
        for shopper in shoppers:
            shopper.start()
        deadline = time.monotonic() + 30
        while any(len(shopper.answers) < 20 for shopper in shoppers):  # all of them are busy by then
            assert time.monotonic() < deadline
            time.sleep(0.01)
        before = [len(shopper.answers) for shopper in shoppers]
        told_at = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        not_ready = server.ask("/v2/health/ready")
        assert (not_ready.status, not_ready.json) == (503, {"live": True, "ready": False})
        still = server.recommend("u1")
        assert still.status == 200, "it answers whoever still asks"
        assert still.headers["connection"] == "close"
        assert server.wait_for_end() == 0
        took_s = time.monotonic() - told_at
        for shopper in shoppers:
            shopper.join(10)
    assert not [failure for shopper in shoppers for failure in shopper.failures]
    after = [len(shopper.answers) for shopper in shoppers]
    assert all(now > then for now, then in zip(after, before, strict=True)), "each was still answered"
    assert 1.0 <= took_s < 10
    assert "stopped: release 4" in server.log.read_text()


def test_sigterm_while_loading_ends_at_once(tmp_path: Path, artifact: SmallArtifact) -> None:
    with running(server_config(tmp_path, artifact, drain_s=60)) as server:
        while True:
            try:
                server.ask("/v2/health/live")
                break
            except OSError:
                assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.wait_for_end(30) == 0


def test_a_request_under_way_at_the_end_is_finished(tmp_path: Path, artifact: SmallArtifact) -> None:
    with running(server_config(tmp_path, artifact, drain_s=0.2)) as server:
        server.wait_until_ready()
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
            raw.sendall(
                b"POST /s/d/recommendations?user=u1 HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{"
            )
            time.sleep(0.1)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.8)  # long after it stopped listening
            raw.sendall(b"}")
            assert raw.recv(200).startswith(b"HTTP/1.1 200")
        assert server.wait_for_end() == 0
