"""Unified diffs as rows that a page can show."""

from dataclasses import dataclass

KINDS = {"+": "new", "-": "old", "@": "place", " ": "same"}


@dataclass(frozen=True)
class DiffRow:
    """One line; kind: new, old, same, or place, which says where the next ones stand."""

    kind: str
    text: str

    @property
    def is_change(self) -> bool:
        return self.kind in ("new", "old")


@dataclass(frozen=True)
class DiffRows:
    """The lines of a unified diff, and how many of them are new and old."""

    rows: tuple[DiffRow, ...]
    new: int
    old: int


def read_diff(diff: str) -> DiffRows:
    """Read a unified diff of one thing; its first two lines, which name the sides, are left out."""
    lines = diff.splitlines()
    rows = tuple(DiffRow(KINDS.get(line[:1], "same"), line) for line in lines[2:])
    return DiffRows(rows, *(sum(row.kind == kind for row in rows) for kind in ("new", "old")))
