"""Text of one column to codes or numbers; what cannot be read is marked, then explained."""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.interactions import Float32, Int32

EMPTY_ID, LONG_ID, CONTROL_IN_ID = -1, -2, -3
CACHED_TEXTS, CACHED_CHARACTERS = 200_000, 64
LARGEST = float(np.finfo(np.float32).max)

NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*", re.ASCII)
NOT_A_NUMBER = re.compile(r"\s*[+-]?(nan|inf|infinity)\s*", re.ASCII | re.IGNORECASE)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class IdCodes(dict[str, int]):
    """Number ids in the order they are first seen; an unusable id gives a negative code.

    Ids are text ("007" is not "7"), NFC-normalised, without spaces around them. `names` are the ids by
    code; `changed` counts the spellings that normalisation changed.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self.names: list[str] = []
        self.changed = 0
        self._max_bytes = max_bytes

    def __missing__(self, raw: str) -> int:
        name = raw.strip(" ")
        if not name.isascii():
            name = unicodedata.normalize("NFC", name)
        if not name:
            return EMPTY_ID
        if len(name) > self._max_bytes or len(name.encode()) > self._max_bytes:
            return LONG_ID
        if CONTROL.search(name):
            return CONTROL_IN_ID
        code = self.get(name)
        if code is None:
            code = self[name] = len(self.names)
            self.names.append(name)
        if name != raw:
            self.changed += 1
            if len(raw) <= 2 * self._max_bytes:
                self[raw] = code
        return code

    def read(self, column: Sequence[str]) -> Int32:
        """Return the (n,) codes of a column."""
        return np.fromiter(map(self.__getitem__, column), np.int32, len(column))


class Numbers(dict[str, float]):
    """Read decimal numbers; NaN marks what is not a finite one. Texts repeat, so answers are kept."""

    def __missing__(self, text: str) -> float:
        value = float(text) if NUMBER.fullmatch(text) else math.nan
        if abs(value) > LARGEST:
            value = math.nan
        if len(self) >= CACHED_TEXTS:
            self.clear()
        if len(text) <= CACHED_CHARACTERS:
            self[text] = value
        return value

    def read(self, column: Sequence[str]) -> Float32:
        """Return the (n,) values of a column."""
        return np.fromiter(map(self.__getitem__, column), np.float32, len(column))


@dataclass(frozen=True)
class Reason:
    """Why a text is not what its column holds. `what` completes "<column> on line 3 …"."""

    code: str
    what: str
    hint: str


def explain_number(text: str) -> Reason:
    """Say why `text` is not a usable number."""
    if not text.strip():
        return Reason("not_finite", "is empty, not a finite number.", "Fill it in, or remove the line.")
    if NUMBER.fullmatch(text) or NOT_A_NUMBER.fullmatch(text):
        return Reason("not_finite", "is not a finite number.", "Write a plain number such as 4.5.")
    if DECIMAL_COMMA.fullmatch(text):
        return Reason("decimal_comma", "is written with a decimal comma.", "Use a dot: 4.5, not 4,5.")
    return Reason("not_a_number", "is not a number.", "Write a plain number such as 4.5.")


def explain_id(code: int, max_bytes: int) -> Reason:
    """Say what a negative id code stands for."""
    if code == EMPTY_ID:
        return Reason("empty_id", "is empty.", "Fill it in, or remove the line.")
    if code == LONG_ID:
        return Reason("long_id", f"is longer than {max_bytes} bytes.", "Use a shorter id.")
    return Reason("control_character", "contains a control character.", "Remove it.")


def mark_outside(values: Float32, low: float | None, high: float | None) -> npt.NDArray[np.bool_]:
    """Mark the values below `low` or above `high` (None: no bound)."""
    outside = np.zeros(len(values), bool)
    if low is not None:
        outside |= values < low
    if high is not None:
        outside |= values > high
    return outside
