"""Quotes around fields: the simple ones told at once, and the one that never closes found."""

import re

import numpy as np
import numpy.typing as npt

from engine.refusals import FileRefused


def find_open_quote(text: str, delimiter: str) -> int | None:
    """Count the newlines before a quote that `text` opens and never closes; None if all are closed."""
    field_end = re.compile(f"[{re.escape(delimiter)}\n]")
    at = 0
    while at < len(text):
        if text[at] == '"':
            opened = at
            at += 1
            while True:
                at = text.find('"', at) + 1
                if not at:
                    return text.count("\n", 0, opened)
                if text[at : at + 1] != '"':
                    break
                at += 1
        end = field_end.search(text, at)
        if end is None:
            return None
        at = end.end()
    return None


def unclosed_quote(line: int) -> FileRefused:
    """Make the refusal for a quote that swallows the rest of the file."""
    return FileRefused(
        "unclosed_quote",
        f"A quote opened on line {line} never closes.",
        'Close it, or write a quote inside a quoted field twice: "12"" record".',
        line,
    )


def quotes_whole_fields(data: npt.NDArray[np.uint8], separators: npt.NDArray[np.int64]) -> bool:
    """Tell whether each quoted field is `"…"` with neither a quote nor a separator inside."""
    quotes = np.flatnonzero(data == ord('"'))
    if len(quotes) % 2:
        return False
    opening, closing = quotes[::2], quotes[1::2]
    fields = np.searchsorted(separators, opening)
    begins = np.concatenate(([0], separators[:-1] + 1))
    return bool(np.all(opening == begins[fields]) and np.all(closing == separators[fields] - 1))
