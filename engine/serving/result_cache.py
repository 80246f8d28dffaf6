"""Lists that were made before, kept for whoever asks the same again.

A server holds one immutable release, so a kept list never grows old: with the release go its lists. The
key is all that decides a list: whom or what it is for, by position, and everything that was asked.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from engine.serving.requests import Wanted

KEY_IDS_MAX = 64  # whoever names more ids asks for something that hardly anybody asks again
OVERHEAD_BYTES = 1_000  # of an entry: its objects and its place in the table


@dataclass(frozen=True)
class KeptList:
    """A list as it goes out. `items` is JSON."""

    items: bytes
    n_items: int
    served_by: str
    fallback_reason: str | None
    dropped: int
    is_short: bool


Key = tuple[Hashable, ...]


def key_of(kind: str, subject: int, wanted: Wanted) -> Key | None:
    """Make the key of one list; None when it is not worth keeping."""
    if len(wanted.exclude) + len(wanted.context) > KEY_IDS_MAX:
        return None
    asked = (wanted.k, tuple(wanted.exclude), tuple(wanted.context), wanted.filters, wanted.explain)
    return (kind, subject, *asked)


class ResultCache:
    """The lists asked for last, within so many bytes; 0 keeps none."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._kept: OrderedDict[Key, KeptList] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, key: Key | None) -> KeptList | None:
        """Find a list, and keep it longer than those that nobody asks for."""
        if key is None:
            return None
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def keep(self, key: Key | None, made: KeptList) -> None:
        """Keep a list; the one asked for longest ago goes when there is no room."""
        size = _size(key, made)
        if key is None or size > self.max_bytes or key in self._kept:
            return
        self._kept[key] = made
        self.n_bytes += size
        while self.n_bytes > self.max_bytes:
            self.n_bytes -= _size(*self._kept.popitem(last=False))


def _size(key: Key | None, made: KeptList) -> int:
    return len(made.items) + len(repr(key)) + OVERHEAD_BYTES
