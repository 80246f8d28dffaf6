"""docs/reference/performance.md: a section a part of the benchmarks, each written anew when it was run."""

import os
import re
from importlib.metadata import version
from pathlib import Path

from pairs import ROOT, Row

REPORT = ROOT / "docs/reference/performance.md"
HEAD = ["What", "must", "reached before", "measured", "", "with"]
INTRODUCTION = """# How fast it is, beside others

Each ratio is ours over the peer's: the median of pairs run in turn, on one machine in one run.
Seconds of one machine mean little on another; ratios carry over.
"""
SECTION = re.compile(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def write_section(path: Path, title: str, written_by: str, rows: list[Row], seconds: float) -> None:
    """Write one part's rows; the other sections stay as they are."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    sections = dict(SECTION.findall(before))
    sections[title] = section(written_by, rows, seconds)
    body = "".join(f"\n## {name}\n{text.rstrip()}\n" for name, text in sections.items())
    path.write_text(INTRODUCTION + body, encoding="utf-8")


def section(written_by: str, rows: list[Row], seconds: float) -> str:
    table = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    about = (
        f"Written by `{written_by}` on {os.cpu_count()} cores with numpy {version('numpy')} and numba "
        f"{version('numba')}, in {seconds / 60:.0f} minutes."
    )
    return "\n".join(["", about, "", *("| " + " | ".join(cells) + " |" for cells in table)])
