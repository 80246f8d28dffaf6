"""Two processes asked in turn (A B A B …), and the ratio of what each pair took."""

import json
import os
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INTERPRETERS = {
    "ours": ROOT / ".venv/bin/python",
    "peers": Path(os.environ.get("BENCH_VENV", ROOT / "var/bench-venv")) / "bin/python",
}
# Two threads in all: the libraries' own, and BLAS on one in each of them.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "2"}
N_PAIRS = 5


class Side:
    """A process that answers jobs; ended at the end of a `with`."""

    def __init__(self, name: str) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
        self._process = subprocess.Popen(
            [INTERPRETERS[name], HERE / "worker.py", name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**environment, **ENVIRONMENT},
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def ask(self, job: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"job": job, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{job}: the process ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{job}: {answer['error']}")
        return answer


@dataclass(frozen=True)
class Paired:
    """ratio: the median of ours over the peer's; ours, peer: the last answers of each."""

    ratio: float
    ours: dict[str, Any]
    peer: dict[str, Any]


def in_turn(
    ours: Callable[[], dict[str, Any]], peer: Callable[[], dict[str, Any]], figure: str, pairs: int = N_PAIRS
) -> Paired:
    """Ask both in turn and give the median ratio of a figure."""
    ratios = []
    for _ in range(pairs):
        mine, theirs = ours(), peer()
        ratios.append(mine[figure] / theirs[figure])
    return Paired(statistics.median(ratios), mine, theirs)


@dataclass(frozen=True)
class Row:
    """One line of the report: a measured figure beside its goal; note: the quality that goes with it.

    must: None where no goal is set and the figure is there to be known.
    """

    what: str
    sign: str
    must: float | None
    reach: str
    measured: float
    note: str = ""

    @property
    def holds(self) -> bool:
        if self.must is None:
            return True
        return self.measured <= self.must if self.sign == "≤" else self.measured >= self.must

    def cells(self) -> list[str]:
        verdict = "holds" if self.holds else "DOES NOT HOLD"
        return [
            self.what,
            "–" if self.must is None else f"{self.sign} {self.must:.3g}",
            self.reach,
            f"{self.measured:.3g}",
            "" if self.must is None else verdict,
            self.note,
        ]
