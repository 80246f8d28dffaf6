"""Files for the tests of reading: text in, a checked file out."""

from pathlib import Path
from typing import Any

from engine.refusals import FileRefused
from engine.sniffing import FileFormat, sniff
from engine.validation import CheckedFile, check_interactions

HEADER = "user_id,item_id,rating,timestamp\n"
NOW = 1_700_000_000.0


def write(folder: Path, content: str | bytes, name: str = "ratings.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def good_rows(n: int, first: int = 0) -> str:
    """Make n rows of distinct pairs of 7 users and many items."""
    return "".join(f"u{k % 7},i{k // 7},{k % 5 + 1},{1_600_000_000 + k}\n" for k in range(first, first + n))


def check(folder: Path, content: str | bytes, **options: Any) -> CheckedFile:
    """Sniff and check a file made of `content`."""
    path = write(folder, content)
    options.setdefault("now", NOW)
    return check_interactions(path, sniff(path), **options)


def check_as_ratings(path: Path, **options: Any) -> CheckedFile:
    """Check a file as user, item, rating and time with a header, whatever it looks like."""
    names = HEADER.strip().split(",")
    roles = {"user": 0, "item": 1, "value": 2, "time": 3}
    known = FileFormat("none", "utf-8", ",", True, names, [], roles, "interactions", path.stat().st_size)
    return check_interactions(path, known, now=NOW, **options)


def refusal_of(folder: Path, content: str | bytes, **options: Any) -> FileRefused:
    """Return the refusal that sniffing or checking a file ends in."""
    try:
        check(folder, content, **options)
    except FileRefused as refused:
        return refused
    raise AssertionError("the file was accepted")


def rows_of(checked: CheckedFile) -> list[tuple[str, str, float, int | None]]:
    """Return the loaded rows with their ids."""
    loaded = checked.interactions
    assert loaded is not None, checked.problems
    users, items = loaded.user_ids.to_list(), loaded.item_ids.to_list()
    times = loaded.times.tolist() if loaded.times is not None else [None] * len(loaded)
    return [
        (users[user], items[item], value, at)
        for user, item, value, at in zip(
            loaded.users.tolist(), loaded.items.tolist(), loaded.values.tolist(), times, strict=True
        )
    ]
