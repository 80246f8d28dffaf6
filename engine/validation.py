"""A file of interactions, line by line: checked arrays, or the exact lines to mend."""

import time
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.duplicates import count_conflicts, find_superseded
from engine.event_log import EventLog, EventTypes
from engine.event_weights import EventWeights, add_up, normalise_type
from engine.fields import (
    IdCodes,
    Numbers,
    Reason,
    explain_id,
    explain_number,
    mark_outside,
)
from engine.interactions import IdTable, Int32, Interactions
from engine.records import Batch, Records
from engine.refusals import FileRefused, Problem, ProblemLog, show
from engine.report import FileFacts, describe_dataset
from engine.roles import INTERACTION_ROLES, check_roles
from engine.sniffing import FileFormat
from engine.streams import Limits, Progress
from engine.times import BAD_TIME, Times, guess_ticks

BAD_TIMESTAMP = Reason(
    "bad_timestamp",
    "is not a time between 1970 and 2100.",
    "Use seconds since 1970, or a date such as 2024-01-31 or 2024-01-31T18:30:00Z.",
)

UNKNOWN_EVENT = Reason(
    "unknown_event", "is an event type without a weight.", "Give it one; 0 leaves such rows out."
)


@dataclass(frozen=True)
class CheckedFile:
    """What a check found. interactions is None when bad lines stopped it; problems are the first 20.

    events: every row, where they were asked for and the file has event types, 50 at most.
    """

    interactions: Interactions | None
    report: dict[str, Any]
    problems: list[Problem]
    problem_count: int
    counts: dict[str, int]
    rows: int
    left_out: int
    events: EventLog | None = None


def check_interactions(
    path: Path,
    file_format: FileFormat,
    roles: Mapping[str, int] | None = None,
    *,
    limits: Limits | None = None,
    progress: Progress | None = None,
    leave_out_bad_rows: bool = False,
    now: float | None = None,
    weighing: EventWeights | None = None,
    keep_events: bool = False,
) -> CheckedFile:
    """Read every line of a file, and load it when all are right.

    roles: column index by role, `file_format.roles` if None; user and item are required, without a value
    each row counts as 1. leave_out_bad_rows: load the other rows instead of nothing. now: seconds since 1970,
    for the warning about future dates. weighing: what each row counts; repeats add up. Without it, the last
    one stands, whatever its event type. keep_events: keep all rows with their event types too, to be weighed
    later; without weighing.
    Raises FileRefused when the file cannot be read to its end or has fewer than two users or items.
    """
    roles = dict(file_format.roles if roles is None else roles)
    check_roles(file_format.columns, roles, required_roles(weighing))
    limits = limits or Limits()
    log = ProblemLog()
    records = Records(path, file_format.layout, log=log, limits=limits, progress=progress)
    keep_events = keep_events and weighing is None and "event_type" in roles
    columns = _Columns(file_format, roles, limits, log, weighing, keep_events)
    bad_rows = 0
    for batch in records:
        bad_rows += columns.read(batch, keep=leave_out_bad_rows or not (log.total or records.bad_rows))
    bad_rows += records.bad_rows
    if records.rows == 0:
        raise FileRefused("no_rows", "The file has no data rows.", "Choose the file that has the rows.")
    found = log.first, log.total, dict(log.counts), records.rows
    if log.total and not leave_out_bad_rows:
        return CheckedFile(None, {"rows": records.rows}, *found, left_out=0)
    interactions, superseded, conflicts, events = columns.finish()
    facts = FileFacts(
        rows=records.rows,
        left_out=bad_rows,
        duplicates=superseded,
        conflicting=conflicts,
        has_values="value" in roles or weighing is not None,
        ignores_events="event_type" in roles and (weighing is None or weighing.by_type is None),
        adds_up=weighing is not None,
        changed_ids=columns.users.changed + columns.items.changed,
        invisible_ids=_count_invisible(columns.users.names) + _count_invisible(columns.items.names),
        now=time.time() if now is None else now,
    )
    report = describe_dataset(interactions, facts)
    if keep_events:
        report["event_types"] = {} if events is None else events.counts()
    return CheckedFile(interactions, report, *found, left_out=bad_rows, events=events)


def required_roles(weighing: EventWeights | None) -> list[str]:
    """List the columns that a file needs."""
    required = list(INTERACTION_ROLES[:2])
    if weighing is not None:
        required += ["event_type"] if weighing.by_type is not None else []
        required += ["time"] if weighing.half_life_days is not None else []
    return required


class _Columns:
    """The columns that have a role, read batch by batch."""

    def __init__(
        self,
        file_format: FileFormat,
        roles: Mapping[str, int],
        limits: Limits,
        log: ProblemLog,
        weighing: EventWeights | None,
        keep_events: bool,
    ) -> None:
        self.users, self.items = IdCodes(limits.id_bytes), IdCodes(limits.id_bytes)
        self._roles = roles
        self._names = file_format.columns
        self._limits = limits
        self._log = log
        self._weighing = weighing
        self._event_weights = weighing.by_type if weighing is not None else None
        self._numbers = Numbers()
        has_time = "time" in roles
        self._times = Times(guess_ticks(file_format.sample_column(roles["time"])) if has_time else None)
        self._parts: dict[str, list[npt.NDArray[Any]]] = {
            role: [] for role in ("user", "item", "value", "time") if role in roles
        }
        self._types: EventTypes | None = EventTypes() if keep_events else None
        if self._event_weights is not None or keep_events:
            self._parts["event_type"] = []

    def read(self, batch: Batch, *, keep: bool) -> int:
        """Take one batch and return how many of its rows are bad. keep: whether good rows are wanted."""
        bad = np.zeros(len(batch.lines), bool)
        arrays: dict[str, npt.NDArray[Any]] = {}
        for role, ids in (("user", self.users), ("item", self.items)):
            codes = arrays[role] = ids.read(self._column(batch, role))
            if codes.size and codes.min() < 0:
                bad |= self._note_ids(batch, role, codes)
        if "value" in self._roles:
            arrays["value"] = self._numbers.read(self._column(batch, "value"))
            bad |= self._note_values(batch, arrays["value"])
        if "time" in self._roles:
            seconds = arrays["time"] = self._times.read(self._column(batch, "time"))
            wrong = seconds == BAD_TIME
            self._note(batch, "time", {BAD_TIMESTAMP: np.flatnonzero(wrong)})
            bad |= wrong
        if self._event_weights is not None:
            column = self._column(batch, "event_type")
            weights = (self._event_weights.get(normalise_type(name), np.nan) for name in column)
            arrays["event_type"] = np.fromiter(weights, np.float32, len(column))
            unknown = np.isnan(arrays["event_type"])
            self._note(batch, "event_type", {UNKNOWN_EVENT: np.flatnonzero(unknown)})
            bad |= unknown
        if self._types is not None:
            arrays["event_type"] = self._types.read(self._column(batch, "event_type"))
        bad_rows = int(np.count_nonzero(bad))
        if keep:
            good = ~bad if bad_rows else slice(None)
            for role, array in arrays.items():
                self._parts[role].append(array[good])
        return bad_rows

    def finish(self) -> tuple[Interactions, int, int, EventLog | None]:
        """Return (interactions, duplicates dropped, those of them with another value, all rows if kept)."""
        arrays = {role: self._join(role) for role in self._parts}
        users, items, times = arrays["user"], arrays["item"], arrays.get("time")
        values = arrays.get("value", np.ones(len(users), np.float32))
        _require_two(len(self.users.names), "user")
        _require_two(len(self.items.names), "item")
        dropped = conflicts = 0
        every = (users, items, values, times) if self._types is not None else None  # else let go of them
        if self._weighing is not None:
            weights = values * arrays.get("event_type", np.float32(1))
            users, items, values, times = add_up(users, items, weights, times, self._weighing.half_life_days)
        else:
            superseded, winners = find_superseded(users, items, times)
            dropped, conflicts = len(winners), count_conflicts(values, superseded, winners)
            if dropped:
                stands = ~superseded
                users, items, values = users[stands], items[stands], values[stands]
                times = times[stands] if times is not None else None
        user_ids, new_user = _drop_unused(self.users.names, users)
        item_ids, new_item = _drop_unused(self.items.names, items)
        _require_two(len(user_ids), "user")
        _require_two(len(item_ids), "item")
        users, items = _renumber(users, new_user), _renumber(items, new_item)
        found = Interactions(user_ids, item_ids, users, items, values, times)
        if every is None or self._types is None or self._types.are_too_many:
            return found, dropped, conflicts, None
        users, items, values, times = every
        # Each row's pair stands among the interactions, so that its ids do too.
        users, items = _renumber(users, new_user), _renumber(items, new_item)
        types = IdTable.of(self._types.names)
        return found, dropped, conflicts, EventLog(types, users, items, arrays["event_type"], values, times)

    def _join(self, role: str) -> npt.NDArray[Any]:
        parts = self._parts[role]
        joined = np.concatenate(parts) if parts else np.zeros(0, np.int32)
        parts.clear()
        return joined

    def _column(self, batch: Batch, role: str) -> Sequence[str]:
        return batch.columns[self._roles[role]]

    def _note_ids(self, batch: Batch, role: str, codes: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        wrong = codes < 0
        self._note(
            batch,
            role,
            {
                explain_id(int(code), self._limits.id_bytes): np.flatnonzero(codes == code)
                for code in np.unique(codes[wrong])
            },
        )
        return wrong

    def _note_values(self, batch: Batch, values: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        limits = self._limits
        wrong = np.isnan(values)
        by_reason: dict[Reason, list[int]] = {}
        column = self._column(batch, "value")
        for position in np.flatnonzero(wrong).tolist():
            by_reason.setdefault(explain_number(column[position]), []).append(position)
        outside = mark_outside(values, limits.value_min, limits.value_max)
        if outside.any():
            allowed = f"{_bound(limits.value_min, 'any')} to {_bound(limits.value_max, 'any')}"
            reason = Reason("out_of_range", f"is outside the declared range {allowed}.", "Correct it.")
            by_reason[reason] = np.flatnonzero(outside).tolist()
        self._note(batch, "value", {reason: np.array(found) for reason, found in by_reason.items()})
        return wrong | outside

    def _note(self, batch: Batch, role: str, found: Mapping[Reason, npt.NDArray[np.int64]]) -> None:
        name, column = self._names[self._roles[role]], self._column(batch, role)
        for reason, positions in found.items():
            self._log.note(
                reason.code,
                len(positions),
                (
                    Problem(
                        reason.code,
                        line := int(batch.lines[position]),
                        name,
                        show(column[position]),
                        f"{name} on line {line} {reason.what}",
                        reason.hint,
                    )
                    for position in positions
                ),
            )


def _bound(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:g}"


def _require_two(found: int, what: str) -> None:
    if found < 2:
        raise FileRefused(
            "too_few",
            f"Learning needs at least 2 users and 2 items; found {found} {what}{'s' if found != 1 else ''}.",
            f"Check that the right column is chosen as the {what}.",
        )


def _drop_unused(names: list[str], codes: Int32) -> tuple[IdTable, Int32 | None]:
    """Leave out the ids that only bad rows had; give the table, and where positions went unless they stay."""
    used = np.zeros(len(names), bool)
    used[codes] = True
    if used.all():
        return IdTable.of(names), None
    new: Int32 = np.cumsum(used, dtype=np.int32) - 1
    return IdTable.of(name for name, keep in zip(names, used, strict=True) if keep), new


def _renumber(codes: Int32, new: Int32 | None) -> Int32:
    return codes if new is None else new[codes]


def _count_invisible(names: Sequence[str]) -> int:
    """Count ids with characters that show nothing, such as a zero-width space or a change of direction."""
    wide = (name for name in names if not name.isascii())
    return sum("Cf" in Counter(map(unicodedata.category, name)) for name in wide)
