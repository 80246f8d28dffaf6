"""An item file, line by line: titles, categories, prices and sellers by item id."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from engine.fields import CONTROL, IdCodes, Numbers, Reason, explain_id, explain_number
from engine.interactions import Float32, IdTable, map_member, save_members
from engine.items import ItemFacts
from engine.records import Batch, Records
from engine.refusals import FileRefused, Problem, ProblemLog, show
from engine.roles import ITEM_ROLES, check_roles
from engine.sniffing import FileFormat
from engine.streams import Limits, Progress

TEXT_BYTES = 1_000
TABLES = ("ids", "titles", "categories", "sellers")
BLANK = re.compile(r"[\s]+")


@dataclass(frozen=True)
class Catalogue:
    """What is known about items, by the position of their id. prices: (n,) float32, NaN where not given.

    sellers: None where the file names none.
    """

    ids: IdTable
    titles: IdTable
    categories: IdTable
    prices: Float32
    sellers: IdTable | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def facts_of(self, item_ids: IdTable) -> ItemFacts:
        """Give the facts in the order of an id table; of an item that the file does not name, none."""
        known = self.ids.positions
        places = [known.get(item) for item in item_ids.to_list()]
        titles, categories, sellers = (
            [] if table is None else _in_order(table.to_list(), places)
            for table in (self.titles, self.categories, self.sellers)
        )
        prices = [float("nan") if at is None else float(self.prices[at]) for at in places]
        return ItemFacts.of(titles, categories, prices, sellers)

    def save(self, folder: Path) -> None:
        """Write one `.npy` a member into `folder` (made if missing)."""
        members: dict[str, npt.NDArray[Any]] = {"prices": self.prices}
        for name in TABLES:
            table: IdTable | None = getattr(self, name)
            if table is not None:
                members |= table.members(name)
        save_members(folder, members)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Memory-map what `save` wrote."""
        ids, titles, categories = (IdTable.load(folder, name) for name in ("ids", "titles", "categories"))
        sellers = IdTable.load(folder, "sellers") if (folder / "sellers_text.npy").exists() else None
        return cls(ids, titles, categories, map_member(folder, "prices"), sellers)


@dataclass(frozen=True)
class CheckedItems:
    """What a check found. catalogue is None when bad lines stopped it; problems are the first 20.

    duplicates: rows replaced by a later row of the same id.
    """

    catalogue: Catalogue | None
    report: dict[str, Any]
    problems: list[Problem]
    problem_count: int
    counts: dict[str, int]
    rows: int
    left_out: int
    duplicates: int


def check_items(
    path: Path,
    file_format: FileFormat,
    roles: Mapping[str, int] | None = None,
    *,
    limits: Limits | None = None,
    progress: Progress | None = None,
    leave_out_bad_rows: bool = False,
) -> CheckedItems:
    """Read every line of an item file, and load it when all are right.

    roles: column index by role, `file_format.roles` if None; item is required, the others are
    not. Of rows with the same id the last one stands.
    Raises FileRefused when the file cannot be read to its end.
    """
    roles = dict(file_format.roles if roles is None else roles)
    check_roles(file_format.columns, roles, ("item",))
    limits = limits or Limits()
    log = ProblemLog()
    records = Records(path, file_format.layout, log=log, limits=limits, progress=progress)
    reader = _Items(file_format.columns, roles, limits, log)
    for batch in records:
        reader.read(batch)
    if records.rows == 0:
        raise FileRefused("no_rows", "The file has no data rows.", "Choose the file that has the rows.")
    left_out = reader.bad_rows + records.bad_rows
    found = log.first, log.total, dict(log.counts), records.rows
    if log.total and not leave_out_bad_rows:
        return CheckedItems(None, {"rows": records.rows}, *found, left_out=0, duplicates=0)
    catalogue = reader.finish()
    report = {
        "rows": records.rows,
        "left_out": left_out,
        "items": len(catalogue),
        "with_title": int(np.count_nonzero(np.diff(catalogue.titles.offsets))),
        "with_category": int(np.count_nonzero(np.diff(catalogue.categories.offsets))),
        "with_price": int(np.count_nonzero(~np.isnan(catalogue.prices))),
        "with_seller": 0
        if catalogue.sellers is None
        else int(np.count_nonzero(np.diff(catalogue.sellers.offsets))),
        "duplicates": reader.duplicates,
    }
    return CheckedItems(catalogue, report, *found, left_out=left_out, duplicates=reader.duplicates)


class _Items:
    """Rows of an item file by id; a later row of the same id replaces the earlier one."""

    def __init__(
        self, names: Sequence[str], roles: Mapping[str, int], limits: Limits, log: ProblemLog
    ) -> None:
        self.bad_rows = 0
        self.duplicates = 0
        self._names = names
        self._roles = roles
        self._limits = limits
        self._log = log
        self._ids = IdCodes(limits.id_bytes)
        self._numbers = Numbers()
        self._rows: dict[int, tuple[str, str, float, str]] = {}

    def read(self, batch: Batch) -> None:
        """Take one batch."""
        n = len(batch.lines)
        columns = [
            batch.columns[self._roles[role]] if role in self._roles else [""] * n for role in ITEM_ROLES
        ]
        for line, item, title, category, price, seller in zip(batch.lines.tolist(), *columns, strict=True):
            code = self._ids[item]
            amount = self._numbers[price] if price.strip() else np.nan
            reasons = (
                ("item", item, explain_id(code, self._limits.id_bytes) if code < 0 else None),
                ("title", title, _explain_text(title)),
                ("category", category, _explain_text(category)),
                ("price", price, _explain_price(price, amount)),
                ("seller", seller, _explain_text(seller)),
            )
            problems = [self._problem(line, role, text, reason) for role, text, reason in reasons if reason]
            for problem in problems:
                self._log.note(problem.code, 1, [problem])
            if problems:
                self.bad_rows += 1
                continue
            self.duplicates += code in self._rows
            self._rows[code] = (_tidy(title), _tidy(category), amount, _tidy(seller))

    def finish(self) -> Catalogue:
        """Return the catalogue, in the order in which ids were first seen."""
        rows = self._rows
        sellers = [seller for *_, seller in rows.values()]
        return Catalogue(
            IdTable.of(self._ids.names[code] for code in rows),
            IdTable.of(title for title, *_ in rows.values()),
            IdTable.of(category for _, category, *_ in rows.values()),
            np.fromiter((price for _, _, price, _ in rows.values()), np.float32, len(rows)),
            IdTable.of(sellers) if any(sellers) else None,
        )

    def _problem(self, line: int, role: str, text: str, reason: Reason) -> Problem:
        name = self._names[self._roles[role]]
        return Problem(
            reason.code, line, name, show(text), f"{name} on line {line} {reason.what}", reason.hint
        )


def _in_order(texts: Sequence[str], places: Sequence[int | None]) -> list[str]:
    return ["" if at is None else texts[at] for at in places]


def _tidy(text: str) -> str:
    return BLANK.sub(" ", text).strip()


def _explain_text(text: str) -> Reason | None:
    if len(text) > TEXT_BYTES or len(text.encode()) > TEXT_BYTES:
        return Reason("long_text", f"is longer than {TEXT_BYTES:,} bytes.", "Shorten it.")
    if not text.isprintable() and CONTROL.search(BLANK.sub(" ", text)):
        return Reason("control_character", "contains a control character.", "Remove it.")
    return None


def _explain_price(text: str, amount: float) -> Reason | None:
    if not text.strip():
        return None
    if np.isnan(amount):
        reason = explain_number(text)
        if reason.code == "not_a_number":
            return Reason("not_a_number", "is not a number.", "Write the amount alone, such as 12.50.")
        return reason
    return Reason("negative_price", "is negative.", "A price is 0 or more.") if amount < 0 else None
