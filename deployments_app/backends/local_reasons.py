"""Why a local model server is not ready, in a shop owner's words."""

import http.client
import json
import signal
from pathlib import Path
from typing import Any

from deployments_app.backends.last_words import last_words
from deployments_app.backends.local_ports import LOOPBACK
from deployments_app.backends.local_process import ProcessId

PROBE_TIMEOUT_S = 0.5
TAIL_BYTES = 4096
LOG_BYTES = 32_768
LINE_MAX = 160


def why_not_ready(folder: Path, state: dict[str, Any], now: float) -> str:
    """Say why the server of this folder is not ready; empty when it is."""
    if "pid" not in state:
        return "the server is being started"
    if not ProcessId(state["pid"], state["start_ticks"]).is_alive():
        wait_s = state.get("next_start_at", now) - now
        again = f"; next start in {wait_s:.0f} s" if wait_s >= 1 else "; it is being started again"
        return f"the server {how_it_ended(folder)}{again}"
    if "stopping_at" in state:
        return "the server is stopping"
    reason = _ask(state["port"])
    if reason and state.get("last_end"):
        return f"{reason} again; before, it {state['last_end']}"
    return reason


def how_it_ended(folder: Path) -> str:
    """Say how a server ended: by which status or signal, and what it said last."""
    try:
        status = int((folder / "exit").read_text())
    except (OSError, ValueError):
        return "is gone"
    how = f"ended with status {status}"
    if status > 128:
        try:
            how = f"was killed by {signal.Signals(status - 128).name}"
        except ValueError:
            how = f"was killed by signal {status - 128}"
    line = last_line(folder / "server.log")
    return f"{how}: {line}" if line else how


def ended_at(folder: Path) -> float | None:
    """Tell when a server ended (seconds since 1970), if its end was seen."""
    try:
        return (folder / "exit").stat().st_mtime
    except OSError:
        return None


def last_line(log: Path) -> str:
    """Read the last line of a log that says something."""
    return last_words(_tail(log, TAIL_BYTES)).rpartition("\n")[2].strip()[:LINE_MAX]


def read_log(folder: Path, state: dict[str, Any]) -> str:
    """Read the end of the log of a server that has ended before; empty while it has not."""
    if not state.get("last_end") and not (folder / "exit").exists():
        return ""
    return last_words(_tail(folder / "server.log", LOG_BYTES))


def _tail(log: Path, size: int) -> str:
    try:
        with log.open("rb") as handle:
            handle.seek(0, 2)
            handle.seek(max(0, handle.tell() - size))
            return handle.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _ask(port: int) -> str:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/v2/health/ready")
        response = connection.getresponse()
        body = response.read(TAIL_BYTES)
    except (OSError, http.client.HTTPException):
        return "the server is starting"
    finally:
        connection.close()
    if response.status == 200:
        return ""
    return f"the server is warming up{_said(body)}"


def _said(body: bytes) -> str:
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    reason = answer.get("reason") or answer.get("error") if isinstance(answer, dict) else None
    return f": {reason[:LINE_MAX]}" if isinstance(reason, str) and reason else ""
