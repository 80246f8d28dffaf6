"""One process in a session of its own: started, recognised by pid and start time, ended."""

import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The shell waits for the server and keeps how it ended, whoever is still alive to see it by then.
_WATCH = '"$@" & printf %s $! >pid.new && mv pid.new pid; wait $!; printf %s $? >exit.new; mv exit.new exit'
_PATIENCE_S = 2.0


@dataclass(frozen=True)
class ProcessId:
    """A process and when it started: a number alone may have passed to another."""

    pid: int
    start_ticks: int

    @classmethod
    def find(cls, pid: int) -> "ProcessId | None":
        """Return the live process of this number, if there is one; a zombie is not alive."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (OSError, IndexError):
            return None
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    def is_alive(self) -> bool:
        return ProcessId.find(self.pid) == self

    def command(self) -> list[str]:
        """Read what it was started by; empty when it is gone."""
        try:
            words = Path(f"/proc/{self.pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        except OSError:
            return []
        return [os.fsdecode(each) for each in words] if self.is_alive() else []

    def signal_session(self, session: int, number: int) -> None:
        """Send a signal to the process and everything in its session's group, if it still is this process."""
        if self.is_alive():
            try:
                os.killpg(session, number)
            except (ProcessLookupError, PermissionError):
                os.kill(self.pid, number)


def start(command: list[str], *, folder: Path, environment: dict[str, str], log: Path) -> tuple[int, int]:
    """Start a command in a session of its own, which outlives us; return (session, pid).

    Its files in `folder`: `pid` while it runs, `exit` with its status once it ended.
    """
    for name in ("pid", "exit"):
        (folder / name).unlink(missing_ok=True)
    with log.open("ab") as output:
        os.chmod(log, 0o600)
        shell = subprocess.Popen(  # noqa: S603 - our own command, no text of a person in it
            ["/bin/sh", "-c", _WATCH, "aisle-server", *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    pid = _read_pid(folder / "pid", shell)
    with _children_lock:
        _children.append(shell)
    return shell.pid, pid


_children: list[subprocess.Popen[bytes]] = []
_children_lock = threading.Lock()


def reap() -> None:
    """Collect shells of ours that have ended, so that they do not stay as zombies."""
    with _children_lock:
        _children[:] = [child for child in _children if child.poll() is None]


def end(process: ProcessId, session: int, *, at_once: bool) -> None:
    process.signal_session(session, signal.SIGKILL if at_once else signal.SIGTERM)


def find_server(folder: Path) -> ProcessId | None:
    """Find the live server of a folder by what its shell wrote, if the number still is that server's."""
    try:
        found = ProcessId.find(int((folder / "pid").read_text()))
        command = Path(f"/proc/{found.pid}/cmdline").read_bytes() if found else b""
    except (OSError, ValueError):
        return None
    return found if os.fsencode(folder / "config.json") in command else None


def is_ending(folder: Path, state: dict[str, Any]) -> bool:
    """Tell whether a process that is not alive any more has not been collected yet by its shell."""
    shell = ProcessId(state["session"], state["session_ticks"]) if "session_ticks" in state else None
    return shell is not None and not (folder / "exit").exists() and shell.is_alive()


def _read_pid(path: Path, shell: "subprocess.Popen[bytes]") -> int:
    """Wait the few milliseconds until the shell has written its child's number."""
    for _ in range(int(_PATIENCE_S / 0.002)):
        try:
            return int(path.read_text())
        except (FileNotFoundError, ValueError):
            try:
                shell.wait(timeout=0.002)
            except subprocess.TimeoutExpired:
                continue
            if not path.exists():
                break
    return shell.pid
