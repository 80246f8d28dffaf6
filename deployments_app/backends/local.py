"""The local backend: model servers as processes on this machine, in sessions of their own.

What it knows is in the run directory, one folder a server: `state.json` (pid, start time, port, restarts),
`config.json` and `signing.key` (mode 0600), `server.log`, `exit`. Nothing is kept in memory, so portal and
workers may come and go; a lock a folder keeps two workers from starting the same server twice.
"""

import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings

from deployments_app.backends import local_preview, local_process, local_reasons
from deployments_app.backends.base import Preview, ReleaseKey, ReleaseSpec, WorkloadStatus
from deployments_app.backends.differences import compare
from deployments_app.backends.local_ports import LOOPBACK, choose_port
from deployments_app.backends.local_process import ProcessId
from portal.core.errors import BackendError

SERVER = (sys.executable, "-m", "engine.serving")
GRACE_S = 10.0  # from SIGTERM to SIGKILL
BACK_OFF_S = (0.0, 0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)  # before the n-th start in a row
STEADY_S = 60.0  # a server that ran for so long starts counting from zero
LOG_MAX_BYTES = 1_000_000
MEMORY_BYTES = 4 * 1024**3  # address space beyond the model's own files
MB = 1_000_000
NOFILE = 4096


class LocalBackend:
    """Runs model servers as processes; see `deployments_app.backends.base.DeploymentBackend`."""

    def __init__(self, run_dir: Path | None = None, *, server: tuple[str, ...] = SERVER) -> None:
        self.root = Path(run_dir or settings.RUN_DIR) / "releases"
        self.server = server

    def apply(self, spec: ReleaseSpec) -> None:
        local_process.reap()
        try:
            for number in range(spec.replicas):
                self._apply_one(spec, f"{spec.key}-{number}")
            for folder in self._folders(spec.key)[spec.replicas :]:
                self._remove_one(folder)
        except OSError as error:  # no room, no port, no process: whatever it is, it may pass
            raise BackendError(f"The servers cannot be started on this machine: {error}") from error

    def observe(self, key: ReleaseKey) -> WorkloadStatus:
        local_process.reap()
        folders = self._folders(key)
        endpoints, reasons, restarts, log = [], [], 0, ""
        for folder in folders:
            state = _read(folder)
            reason = local_reasons.why_not_ready(folder, state, time.time())
            restarts += state.get("restarts", 0)
            if reason:
                reasons.append(reason)
                log = log or local_reasons.read_log(folder, state)
            else:
                endpoints.append(f"{LOOPBACK}:{state['port']}")
        return WorkloadStatus(
            desired=len(folders),
            ready=len(endpoints),
            endpoints=tuple(endpoints),
            reason="; ".join(dict.fromkeys(reasons))[:300],
            restarts=restarts,
            exists=bool(folders),
            log=log,
        )

    def remove(self, key: ReleaseKey) -> None:
        local_process.reap()
        for folder in self._folders(key):
            self._remove_one(folder)

    def loaded(self) -> list[ReleaseKey]:
        if not self.root.exists():
            return []
        names = (folder.name for folder in self.root.iterdir() if folder.name[0] != ".")
        return sorted({name.rpartition("-")[0] for name in names})

    def preview(self, spec: ReleaseSpec, live: ReleaseSpec | None = None) -> Preview:
        """Say by what the servers would be started, beside what those of the live release run by."""
        folder = self.root / f"{spec.key}-0"
        command = [*self.server, "--config", str(folder / "config.json")]
        new = local_preview.planned(command, _server_config(spec, folder, 0), spec.replicas)
        folders = self._folders(live.key) if live is not None else []
        old = local_preview.running(folders, [_process(_read(each)) for each in folders])
        is_there = spec.artifact.is_dir()
        return Preview(
            (compare("Servers", old, new, spec.key, *([live.key] if live is not None else [])),),
            problem="" if is_there else "the model's files are not on this machine",
        )

    def _folders(self, key: ReleaseKey) -> list[Path]:
        return sorted(self.root.glob(f"{key}-[0-9]*"), key=lambda path: int(path.name.rpartition("-")[2]))

    def _apply_one(self, spec: ReleaseSpec, name: str) -> None:
        folder = self.root / name
        with self._lock(name) as is_mine:
            if not is_mine:
                return  # another worker is at it this very moment
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            state = _read(folder) or _adopt(folder)
            process = _process(state)
            if process is not None and process.is_alive():
                if "adopted" in state:
                    _write(folder / "state.json", json.dumps(state))
                if "stopping_at" not in state:
                    return
                local_process.end(process, state["session"], at_once=True)
            if local_process.is_ending(folder, state):
                return  # its last threads still hold the port: the next look is soon enough
            now = time.time()
            if "started_at" in state and not state.get("is_counted"):
                state = _count_end(folder, state, now)
            if now >= state.get("next_start_at", 0.0):
                state = self._start(spec, folder, state)
            _write(folder / "state.json", json.dumps(state))

    def _start(self, spec: ReleaseSpec, folder: Path, state: dict[str, Any]) -> dict[str, Any]:
        port = choose_port(state.get("port"), self._ports_of_others(folder))
        _write(folder / "signing.key", spec.signing_key)
        _write(folder / "config.json", json.dumps(_server_config(spec, folder, port)))
        log = folder / "server.log"
        if log.exists() and log.stat().st_size > LOG_MAX_BYTES:
            log.replace(folder / "server.log.1")
        session, pid = local_process.start(
            [*self.server, "--config", str(folder / "config.json")],
            folder=folder,
            environment=_environment(folder),
            log=log,
        )
        found, shell = ProcessId.find(pid), ProcessId.find(session)
        return {
            "pid": pid,
            "start_ticks": found.start_ticks if found else 0,
            "session": session,
            **({"session_ticks": shell.start_ticks} if shell else {}),
            "port": port,
            "started_at": time.time(),
            "restarts": state.get("restarts", 0),
            "failures": state.get("failures", 0),
            "last_end": state.get("last_end", ""),
        }

    def _remove_one(self, folder: Path) -> None:
        with self._lock(folder.name) as is_mine:
            if not is_mine:
                return
            state = _read(folder) or _adopt(folder)
            process = _process(state)
            if process is None or not process.is_alive():
                shutil.rmtree(folder, ignore_errors=True)
            elif "stopping_at" not in state:
                local_process.end(process, state["session"], at_once=False)
                _write(folder / "state.json", json.dumps({**state, "stopping_at": time.time()}))
            elif time.time() > state["stopping_at"] + GRACE_S:
                local_process.end(process, state["session"], at_once=True)

    def _ports_of_others(self, folder: Path) -> set[int]:
        others = (_read(path) for path in self.root.iterdir() if path != folder and path.name[0] != ".")
        return {state["port"] for state in others if "port" in state}

    @contextmanager
    def _lock(self, name: str) -> Iterator[bool]:
        """Hold one server's lock, if nobody else does; it lives outside the folder, which comes and goes."""
        locks = self.root / ".locks"
        locks.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (locks / name).open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


def _server_config(spec: ReleaseSpec, folder: Path, port: int) -> dict[str, Any]:
    size = sum(path.stat().st_size for path in spec.artifact.glob("*") if path.is_file())
    cache = os.environ.get("NUMBA_CACHE_DIR")
    return {
        "artifact": str(spec.artifact),
        **spec.facts,
        "host": LOOPBACK,
        "port": port,
        "signing_key_file": str(folder / "signing.key"),
        "rlimits": {
            "as_bytes": MEMORY_BYTES + 2 * size + spec.memory_mb * MB,
            "nofile": NOFILE,
            **({"data_bytes": spec.memory_mb * MB} if spec.memory_mb else {}),
            **({"cpu_s": spec.cpu_s} if spec.cpu_s else {}),
        },
        **({"numba_cache_dir": str(Path(cache).resolve())} if cache else {}),
    }


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of ours but what a server needs: no address, no password, no key."""
    kept = {name: os.environ[name] for name in ("PATH", "NUMBA_CACHE_DIR") if name in os.environ}
    one_thread = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {
        **kept,
        **one_thread,
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(settings.BASE_DIR),
        "PYTHONUNBUFFERED": "1",
    }


def _count_end(folder: Path, state: dict[str, Any], now: float) -> dict[str, Any]:
    """Note that a server ended by itself, and when the next may start."""
    ended_at = local_reasons.ended_at(folder) or now
    was_steady = ended_at - state["started_at"] >= STEADY_S
    failures = 1 if was_steady else state.get("failures", 0) + 1
    wait_s = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
    return {
        **{name: value for name, value in state.items() if name != "stopping_at"},
        "failures": failures,
        "restarts": state.get("restarts", 0) + 1,
        "next_start_at": ended_at + wait_s,
        "last_end": local_reasons.how_it_ended(folder),
        "is_counted": True,
    }


def _adopt(folder: Path) -> dict[str, Any]:
    """Find a server whose starter died before it could note it; empty if there is none."""
    found = local_process.find_server(folder)
    try:
        port = json.loads((folder / "config.json").read_text())["port"]
    except (OSError, ValueError, KeyError):
        return {}
    if found is None:
        return {}
    return {
        "pid": found.pid,
        "start_ticks": found.start_ticks,
        "session": os.getsid(found.pid),
        "port": port,
        "started_at": time.time(),
        "adopted": True,
    }


def _process(state: dict[str, Any]) -> ProcessId | None:
    return ProcessId(state["pid"], state["start_ticks"]) if "pid" in state else None


def _read(folder: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((folder / "state.json").read_text())
    except (OSError, ValueError):
        return {}
    return state


def _write(path: Path, text: str) -> None:
    """Replace a private file in one step."""
    aside = path.with_name(path.name + ".new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
    aside.replace(path)
