"""`make bench`, `bench-serving`, `bench-rollback`: every goal of speed beside what is reached here.

`python -m tests.bench PART` prints its rows and writes them into docs/reference/performance.md.
"""

import importlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from pairs import ROOT, Row
from report import REPORT, write_section

# Part: the section's title, the command, the module whose `rows` measures it.
PARTS = {
    "engine": ("The engine", "make bench", "engine_rows"),
    "serving": ("Model server and gateway", "make bench-serving", "serving_rows"),
    "rollback": ("Rollback", "make bench-rollback", "rollback_rows"),
}


def main() -> int:
    part = sys.argv[1] if len(sys.argv) > 1 else "engine"
    title, command, module = PARTS[part]
    rows: Callable[[Path], Iterator[Row]] = importlib.import_module(module).rows
    if part == "engine":
        rows = partial(rows, everything=os.environ.get("BENCH") == "all")
    began = time.monotonic()
    found: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="aisle-bench-") as folder:
        for row in rows(Path(folder)):
            found.append(row)
            print(f"{time.monotonic() - began:6.0f} s  " + "  ".join(row.cells()), flush=True)
    write_section(REPORT, title, command, found, time.monotonic() - began)
    failing = [row.what for row in found if not row.holds]
    print(f"{len(found) - len(failing)} of {len(found)} goals hold; written to {REPORT.relative_to(ROOT)}")
    return 1 if failing else 0


if __name__ == "__main__":
    sys.exit(main())
