"""What a run tells while it works: stage, progress, time left, loss curve, log and memory."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from django.utils import timezone

from engine.estimators.base import Progress
from models_app.models import TrainingRun
from models_app.services.pacing import Pace
from portal.core.jobs import Claim

MAX_LOG = 64 * 1024  # characters kept; the oldest go first
MAX_CURVE = 1000


class RunReport:
    """Writes of one attempt, each fenced by its lease; raises Canceled or LeaseLost when it must stop."""

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._run: TrainingRun = claim.job
        self._log = self._run.log
        self._curve: list[list[float]] = []
        self._pace = Pace()
        _forget_peak_memory()

    def say(self, text: str, level: str = "info") -> None:
        """Add a line to the log; it is written with the next progress."""
        line = f"{timezone.now():%H:%M:%S} {level} {text}\n"
        self._log = (self._log + line)[-MAX_LOG:]

    def enter(self, stage: str, text: str) -> None:
        """Begin a stage."""
        self.say(text)
        self._pace = Pace()
        self._write(stage, 0, None, "")

    def follow(self, stage: str, unit: str) -> Any:
        """Make the callback that takes the engine's progress in this stage."""
        keeps_curve = stage == "fit"

        def on_progress(progress: Progress) -> None:
            if keeps_curve and progress.loss is not None and len(self._curve) < MAX_CURVE:
                self._curve.append([progress.done, progress.loss])
            self._write(stage, progress.done, progress.total, unit)

        return on_progress

    def flush(self) -> None:
        """Write what is not written yet."""
        self._claim.write(**self._columns())

    def _write(self, stage: str, done: int, total: int | None, unit: str) -> None:
        eta_s = self._pace.eta_s(done, total)
        self._claim.progress(stage, done, total, unit, eta_s=eta_s, **self._columns())

    def _columns(self) -> dict[str, Any]:
        """List what has changed since the last write: a long log is not written again with every beat."""
        columns: dict[str, Any] = {"peak_memory_bytes": peak_memory_bytes()}
        if self._log != self._run.log:
            columns["log"] = self._log
        if self._curve != self._run.curve:
            columns["curve"] = list(self._curve)
        return columns


def peak_memory_bytes() -> int | None:
    """Most memory this process has held since `_forget_peak_memory`; None where the system does not say."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


def _forget_peak_memory() -> None:
    # Linux: "5" sets the peak back to the present size, so that one run's peak is not the next one's.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
