"""`make bench`: every goal of speed beside what is reached here, written to docs/reference/performance.md."""

import os
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from engine_rows import rows
from pairs import ROOT, Row

REPORT = ROOT / "docs/reference/performance.md"
HEAD = ["What", "must", "reached before", "measured", "", "with"]


def main() -> int:
    began = time.monotonic()
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="aisle-bench-") as folder:
        for row in rows(Path(folder), everything=os.environ.get("BENCH") == "all"):
            found.append(row)
            print(f"{time.monotonic() - began:6.0f} s  " + "  ".join(row.cells()), flush=True)
    REPORT.write_text(report(found, time.monotonic() - began), encoding="utf-8")
    failing = [row.what for row in found if not row.holds]
    print(f"{len(found) - len(failing)} of {len(found)} goals hold; written to {REPORT.relative_to(ROOT)}")
    return 1 if failing else 0


def report(found: list[Row], seconds: float) -> str:
    cores = os.cpu_count()
    table = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in found)]
    lines = [
        "# How fast it is, beside others",
        "",
        f"Written by `make bench` on {cores} cores with numpy {version('numpy')} and numba",
        f"{version('numba')}, in {seconds / 60:.0f} minutes. Each ratio is ours over the peer's: the",
        "median of pairs run in turn, two threads each. Seconds of one machine mean little on another;",
        "ratios carry over.",
        "",
        *("| " + " | ".join(cells) + " |" for cells in table),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
