"""What every deployment backend must do, as tests: a backend passes them or it is none.

Subclass `BackendContract` in a test module and provide the fixtures `backend` and `specs`. The tests ask
for outcomes with deadlines, never for how they come about, so a slow cluster passes them too.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from deployments_app.backends.base import DeploymentBackend, ReleaseSpec, WorkloadStatus


def wait_until(check: Callable[[], Any], *, within_s: float, what: str, every_s: float = 0.05) -> Any:
    """Call `check` until it is true and return what it returned; fail after `within_s`."""
    deadline = time.monotonic() + within_s
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(every_s)


def spec_of(number: int, artifact: Path, digest: str, algorithm: str, /, **changes: Any) -> ReleaseSpec:
    """Describe a release of an artifact; every number is another release."""
    spec = ReleaseSpec(
        key=f"rel_{number}",
        artifact=artifact,
        digest=digest,
        release_number=number,
        deployment_id="dep_1",
        shop="shop",
        model="shop-main",
        model_version=1,
        algorithm=algorithm,
        signing_key="0123456789abcdef" * 4,
    )
    return replace(spec, **changes)


class BackendContract:
    """The specification of a deployment backend."""

    READY_WITHIN_S: ClassVar[float] = 30
    GONE_WITHIN_S: ClassVar[float] = 30
    FAST_S: ClassVar[float] = 3  # no call may take longer, whatever happens

    @pytest.fixture
    def backend(self) -> DeploymentBackend:
        raise NotImplementedError("provide the backend to be tested")

    @pytest.fixture
    def make_spec(self) -> Callable[..., ReleaseSpec]:
        """Return a function that describes a new release of a good artifact."""
        raise NotImplementedError

    def end_server(self, backend: DeploymentBackend, key: str) -> None:
        """Kill one server of a release as a fault would."""
        raise NotImplementedError

    @pytest.fixture
    def release(
        self, backend: DeploymentBackend, make_spec: Callable[..., ReleaseSpec]
    ) -> Iterator[Callable[..., ReleaseSpec]]:
        """Return a function that applies a release and removes it when the test has ended."""
        made: list[ReleaseSpec] = []

        def apply(**options: Any) -> ReleaseSpec:
            spec = make_spec(**options)
            made.append(spec)
            backend.apply(spec)
            return spec

        yield apply
        for spec in made:
            self.await_gone(backend, spec.key)

    def await_ready(self, backend: DeploymentBackend, spec: ReleaseSpec) -> WorkloadStatus:
        deadline = time.monotonic() + self.READY_WITHIN_S
        while True:
            backend.apply(spec)
            status = backend.observe(spec.key)
            if status.ready == spec.replicas:
                return status
            assert time.monotonic() < deadline, f"{spec.key} did not get ready in time: {status.reason}"
            time.sleep(0.05)

    def await_gone(self, backend: DeploymentBackend, key: str) -> None:
        def look() -> bool:
            backend.remove(key)
            return not backend.observe(key).exists

        wait_until(look, within_s=self.GONE_WITHIN_S, what=f"{key} is gone")

    def test_an_unknown_release_does_not_exist(self, backend: DeploymentBackend) -> None:
        status = backend.observe("rel_unknown")
        assert not status.exists
        assert not status.is_ready
        assert status.endpoints == ()

    def test_removing_what_is_not_there_is_fine(self, backend: DeploymentBackend) -> None:
        backend.remove("rel_unknown")
        assert "rel_unknown" not in backend.loaded()

    def test_an_applied_release_becomes_ready_and_has_endpoints(
        self, backend: DeploymentBackend, release: Callable[..., ReleaseSpec]
    ) -> None:
        spec = release()
        status = self.await_ready(backend, spec)
        assert status.exists
        assert status.ready == status.desired == 1
        assert len(status.endpoints) == 1
        assert status.reason == ""
        assert spec.key in backend.loaded()

    def test_applying_twice_changes_nothing(
        self, backend: DeploymentBackend, release: Callable[..., ReleaseSpec]
    ) -> None:
        spec = release()
        before = self.await_ready(backend, spec)
        backend.apply(spec)
        backend.apply(spec)
        assert backend.observe(spec.key) == before

    def test_every_call_returns_fast(
        self, backend: DeploymentBackend, release: Callable[..., ReleaseSpec]
    ) -> None:
        spec = release()
        for call in (
            lambda: backend.apply(spec),
            lambda: backend.observe(spec.key),
            lambda: backend.remove(spec.key),
            lambda: backend.observe(spec.key),
        ):
            started = time.monotonic()
            call()
            assert time.monotonic() - started < self.FAST_S

    def test_a_killed_server_comes_back_with_the_next_apply(
        self, backend: DeploymentBackend, release: Callable[..., ReleaseSpec]
    ) -> None:
        spec = release()
        self.await_ready(backend, spec)
        self.end_server(backend, spec.key)
        wait_until(lambda: not backend.observe(spec.key).is_ready, within_s=10, what="its end is seen")
        status = self.await_ready(backend, spec)
        assert status.restarts >= 1

    def test_a_release_that_never_gets_ready_says_why(
        self, backend: DeploymentBackend, release: Callable[..., ReleaseSpec]
    ) -> None:
        spec = release(digest="0" * 64)

        def look() -> str | None:
            backend.apply(spec)
            status = backend.observe(spec.key)
            assert not status.is_ready
            return status.reason if status.restarts >= 2 else None

        reason = wait_until(look, within_s=self.READY_WITHIN_S, what="it was tried twice")
        assert "digest" in reason or "sha256" in reason

    def test_a_server_that_dies_again_and_again_says_so_and_is_back_when_it_no_longer_does(
        self, backend: DeploymentBackend, release: Callable[..., ReleaseSpec]
    ) -> None:
        spec = release()
        before = self.await_ready(backend, spec).restarts

        def says_so() -> str:
            reason = backend.observe(spec.key).reason
            return reason if "again" in reason or "next start" in reason else ""

        for _ in range(2):
            self.end_server(backend, spec.key)
            reason = wait_until(says_so, within_s=self.READY_WITHIN_S, what="a server that died is named")
            assert "the server" in reason
            status = self.await_ready(backend, spec)
            assert status.reason == ""
        assert status.restarts >= before + 2

    def test_a_removed_release_leaves_nothing_behind(
        self, backend: DeploymentBackend, release: Callable[..., ReleaseSpec]
    ) -> None:
        spec = release()
        self.await_ready(backend, spec)
        self.await_gone(backend, spec.key)
        assert spec.key not in backend.loaded()
        assert backend.observe(spec.key) == WorkloadStatus()

    def test_a_release_applied_while_it_is_being_removed_comes_back(
        self, backend: DeploymentBackend, release: Callable[..., ReleaseSpec]
    ) -> None:
        spec = release()
        self.await_ready(backend, spec)
        backend.remove(spec.key)
        self.await_ready(backend, spec)

    def test_capacity_can_grow_and_shrink(
        self, backend: DeploymentBackend, release: Callable[..., ReleaseSpec]
    ) -> None:
        spec = release()
        self.await_ready(backend, spec)
        two = replace(spec, replicas=2)
        self.await_ready(backend, two)
        assert len(set(backend.observe(spec.key).endpoints)) == 2

        def is_one() -> bool:
            backend.apply(spec)
            return backend.observe(spec.key).desired == 1

        wait_until(is_one, within_s=self.GONE_WITHIN_S, what="one server is left")
        assert backend.observe(spec.key).is_ready

    def test_two_releases_live_side_by_side(
        self, backend: DeploymentBackend, release: Callable[..., ReleaseSpec]
    ) -> None:
        one, two = release(), release()
        first, second = self.await_ready(backend, one), self.await_ready(backend, two)
        assert not set(first.endpoints) & set(second.endpoints)
        self.await_gone(backend, one.key)
        assert backend.observe(two.key).is_ready


def is_running(pid: int) -> bool:
    """Tell whether a process of this number exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
