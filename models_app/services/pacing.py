"""How long a job will still take, from how fast it has been lately."""

import time
from collections.abc import Callable

WEIGHT = 0.3  # of the newest stretch in the moving average
LEAST_S = 0.2  # shorter stretches say nothing about speed


class Pace:
    """An exponentially weighted rate; one instance a stage."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at, self._done = clock(), 0
        self._per_s: float | None = None

    def eta_s(self, done: int, total: int | None) -> float | None:
        """Take note of `done` and estimate the seconds until `total`; None while it cannot be told."""
        now = self._clock()
        if now - self._at >= LEAST_S and done > self._done:
            newest = (done - self._done) / (now - self._at)
            self._per_s = newest if self._per_s is None else WEIGHT * newest + (1 - WEIGHT) * self._per_s
            self._at, self._done = now, done
        if self._per_s is None or total is None:
            return None
        return max(0.0, (total - done) / self._per_s)
