"""What a backend would make for a release, beside what the live one has, as a page shows it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from deployments_app.backends.base import Change
from portal.core import figures
from portal.core.diffs import DiffRows, read_diff


@dataclass(frozen=True)
class ShownChange:
    """One thing with its lines; is_open: something differs in it that does not differ in all the others."""

    what: str
    note: str
    diff: DiffRows
    is_open: bool


def shown_changes(changes: Sequence[Change], live_number: int | None) -> list[ShownChange]:
    """Lay changes out; the release's version and request stand in every object and hide no other change."""
    diffs = [read_diff(change.diff) for change in changes]
    moved = [{_content(row.text) for row in diff.rows if row.is_change} for diff in diffs]
    changed = [lines for change, lines in zip(changes, moved, strict=True) if change.act == "change"]
    shared = set.intersection(*changed) if len(changed) > 1 else set()
    is_first = all(change.act == "make" for change in changes)
    return [
        ShownChange(
            change.what,
            _note(change, diff, live_number),
            diff,
            is_open=len(changes) == 1 or (not is_first and bool(lines - shared)),
        )
        for change, diff, lines in zip(changes, diffs, moved, strict=True)
    ]


def _content(line: str) -> str:
    """Leave of a line what it says, wherever in an object it stands."""
    return line.replace(" ", "").rstrip(",")


def _note(change: Change, diff: DiffRows, live_number: int | None) -> str:
    if change.act == "keep":
        return "the same but for its name"
    if change.act == "remove":
        return "the new release has none"
    if change.act == "make" and live_number is not None:
        return f"release {live_number} has none"
    if change.act == "make":
        return figures.counted(diff.new, "line")
    return f"{diff.new} new, {diff.old} gone"
