"""The journal of a search: one JSON line for the question, one for every finished trial.

A line is on disk before the next trial begins, so that a search killed at any moment goes on after its
last finished trial. A line that a crash cut short is dropped. Nothing in the file is ever executed.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.parameters import Value

STATES = ("complete", "stopped early", "failed")


@dataclass(frozen=True)
class Trial:
    """One setting that was tried.

    state: complete, "stopped early" (the other settings were ahead at a smaller resource) or failed, with
    the reason. quality: mean of the metric over the folds, at the largest resource that the trial reached;
    at_resource: that quality by resource, in quarters (1, 2, 4). size_bytes: the arrays that an artifact
    keeps of the model; latency_ms: median of one-user lists, measured; fit_seconds: all fits of the trial.
    same_as: the earlier trial whose setting this one met again; it was not fitted anew.
    drawn: what the sampler drew, before rounding; attributes: what the pruner remembers of the trial.
    """

    number: int
    settings: Mapping[str, Value]
    state: str
    quality: float | None = None
    at_resource: Mapping[str, float] = field(default_factory=dict)
    size_bytes: int | None = None
    latency_ms: float | None = None
    fit_seconds: float = 0.0
    reason: str = ""
    same_as: int | None = None
    drawn: Mapping[str, Value] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Journal:
    """Finished trials in a file; one process writes it at a time. Without a path they stay in memory."""

    def __init__(self, path: Path | None, question: Mapping[str, Any]) -> None:
        self.path, self.trials = path, list[Trial]()
        self._file = None if path is None else _open(path)
        if self._file is None:
            return
        try:
            self._read(question)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, trial: Trial) -> None:
        """Keep a finished trial; it is on disk when this returns."""
        self.trials.append(trial)
        self._write(asdict(trial))

    def _read(self, question: Mapping[str, Any]) -> None:
        assert self._file is not None
        self._file.seek(0)
        text = self._file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._file.truncate(len(whole))
        lines = [line for line in whole.split(b"\n") if line]
        if not lines:
            self._write(dict(question))
            return
        try:
            asked, *rest = [json.loads(line) for line in lines]
            self.trials = [Trial(**each) for each in rest]
            right = [each.number for each in self.trials] == list(range(len(rest)))
        except (ValueError, TypeError, RecursionError) as problem:
            raise ValueError(f"{self.path} is not the journal of a search") from problem
        if not right or any(each.state not in STATES for each in self.trials):
            raise ValueError(f"{self.path} is not the journal of a search")
        if asked != question:
            differ = sorted(name for name in {*asked, *question} if asked.get(name) != question.get(name))
            raise ValueError(
                f"{self.path} belongs to another search ({', '.join(differ)} differ); name another file."
            )

    def _write(self, entry: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(entry, allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def _open(path: Path) -> Any:
    file = path.open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        file.close()
        raise ValueError(f"another search is writing {path}") from problem
    return file
