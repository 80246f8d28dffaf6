"""The strategies of a rollout: which shape of steps each one has. Pure.

canary       growing shares, judged at every step
blue_green   loaded and reached by its preview address only, then switched at once
shadow       a copy of requests first, whose answers nobody sees, then growing shares
ab           two arms side by side, open until a person concludes which one stays
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

STRATEGIES = ("canary", "blue_green", "shadow", "ab")
ENDED_BY = ("plan", "person")


class Shape(Protocol):
    """What of a step its shape depends on."""

    @property
    def weight_pct(self) -> int: ...
    @property
    def mirror_pct(self) -> int: ...
    @property
    def ends_by(self) -> str: ...
    @property
    def min_answers(self) -> int: ...


def misfits(strategy: str, steps: Sequence[Shape]) -> Iterator[tuple[str, str]]:
    """Find where steps do not fit a strategy: (pointer, what would be right)."""
    weights = [step.weight_pct for step in steps]
    last = len(steps) - 1
    if weights != sorted(set(weights)):
        yield "/steps", "Each step's share must be larger than the one before."
        return
    if weights[last] != 100:
        yield f"/steps/{last}/weight_pct", "The last step must be 100 %."
        return
    if steps[last].ends_by == "person":
        yield f"/steps/{last}/ends_by", "The last step ends by itself: everybody has the new release then."
    for at, step in enumerate(steps):
        if step.mirror_pct and (strategy != "shadow" or step.weight_pct):
            yield f"/steps/{at}/mirror_pct", "Only the first step of a shadow copies requests, at 0 %."
        if step.min_answers and not step.weight_pct and not step.mirror_pct:
            yield f"/steps/{at}/min_answers", "Nobody asks the new release at 0 %, so there are no answers."
    yield from _OF[strategy](steps)


def _canary(steps: Sequence[Shape]) -> Iterator[tuple[str, str]]:
    if not steps[0].weight_pct:
        yield "/steps/0/weight_pct", "A canary begins with 1 % or more."


def _blue_green(steps: Sequence[Shape]) -> Iterator[tuple[str, str]]:
    if len(steps) != 2 or steps[0].weight_pct:
        yield "/steps", "Blue-green has two steps: 0 %, for looking at it, then 100 %."


def _shadow(steps: Sequence[Shape]) -> Iterator[tuple[str, str]]:
    if steps[0].weight_pct:
        yield "/steps/0/weight_pct", "A shadow begins with 0 %: nobody sees its answers."
    elif not steps[0].mirror_pct:
        yield "/steps/0/mirror_pct", "Say which share of requests the shadow gets a copy of: 1 to 100."


def _ab(steps: Sequence[Shape]) -> Iterator[tuple[str, str]]:
    if len(steps) != 2 or not steps[0].weight_pct:
        yield "/steps", "A/B has two steps: the new arm's share, then 100 % for the arm that stays."
    elif steps[0].ends_by != "person":
        yield "/steps/0/ends_by", "A person concludes an A/B test: set this to person."


_OF = {"canary": _canary, "blue_green": _blue_green, "shadow": _shadow, "ab": _ab}
