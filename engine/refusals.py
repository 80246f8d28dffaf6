"""What can be wrong with a file: a whole file refused, or single lines that are not as they should be."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import islice

SHOWN_PROBLEMS = 20
SHOWN_CHARACTERS = 80


class FileRefused(Exception):
    """Nothing in this file can be used; `detail` says what was found, `hint` what to do."""

    def __init__(self, code: str, detail: str, hint: str, line: int | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.hint = hint
        self.line = line

    def as_problem(self) -> "Problem":
        """Say the same as a one-line problem, for the list on the page and in the API."""
        return Problem(self.code, self.line, None, "", self.detail, self.hint)


class FileTooLarge(FileRefused):
    """The file, or what it unpacks to, is over a limit."""


class WrongFileType(FileRefused):
    """The file is of another kind than text in columns."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong on one line. line counts from 1, the header included; value is escaped."""

    code: str
    line: int | None
    column: str | None
    value: str
    detail: str
    hint: str

    def to_dict(self) -> dict[str, str | int | None]:
        return asdict(self)


@dataclass
class ProblemLog:
    """Count every problem by code, and keep the first few lines' in full."""

    first: list[Problem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _pending: list[Problem] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.counts.total()

    def note(self, code: str, count: int, problems: Iterable[Problem]) -> None:
        """Count `count` problems of one kind; `problems` are the first of them, in order of lines.

        The iterable is not read further than what can still be shown.
        """
        if not count:
            return
        self.counts[code] += count
        if len(self.first) < SHOWN_PROBLEMS:
            self._pending += islice(problems, SHOWN_PROBLEMS)

    def close_block(self) -> None:
        """Put the kinds noted since the last call into the order of their lines."""
        self._pending.sort(key=lambda problem: (problem.line or 0, problem.column or ""))
        self.first += self._pending[: SHOWN_PROBLEMS - len(self.first)]
        self._pending.clear()


def show(value: str) -> str:
    """Escape what cannot be printed and cut to 80 characters."""
    text = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode()
        for c in value[: SHOWN_CHARACTERS + 1]
    )
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
