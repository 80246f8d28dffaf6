"""Servers that the portal cannot ask: which, since when, and why. Pure.

Their shoppers may well be served; but nobody counts what they answer, nor compares it with the registry.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from portal.core import figures


@dataclass(frozen=True)
class Silence:
    """One server of a release that did not answer when it was last asked."""

    release_id: str
    server: str
    reason: str
    since: datetime  # first time in a row

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "since": self.since.isoformat()}

    @property
    def sentence(self) -> str:
        return f"{self.server} cannot be asked since {figures.utc(self.since)}: {self.reason}"


def read_silences(rows: Iterable[dict[str, Any]]) -> list[Silence]:
    """Read what `to_json` wrote."""
    return [Silence(**{**row, "since": datetime.fromisoformat(row["since"])}) for row in rows]


def still_silent(
    before: Iterable[dict[str, Any]], found: Iterable[tuple[str, str, str]], now: datetime
) -> list[dict[str, Any]]:
    """Write who is silent now, (release, server, why) each; who was silent before is so since then."""
    known = {(each.release_id, each.server): each.since for each in read_silences(before)}
    return [
        Silence(release_id, server, reason[:200], known.get((release_id, server), now)).to_json()
        for release_id, server, reason in found
    ]
