"""Intervals of shares and of their difference, and how much more would settle a question. Pure."""

from math import ceil, sqrt

Z = 1.96  # 95 %
Z_POWER = 1.2816  # 90 % of good releases shall pass once the sample is complete
Z_WATCHED = 3.3  # for a figure that is looked at every second


def wilson(hits: float, n: int, z: float = Z) -> tuple[float, float]:
    """Interval of a share (Wilson 1927), which holds for small samples and shares near 0."""
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def newcombe(hits: int, n: int, other_hits: int, other_n: int, z: float = Z) -> tuple[float, float]:
    """Interval of the difference of two independent shares (Newcombe 1998, method 10)."""
    share, other = (hits / n if n else 0.0), (other_hits / other_n if other_n else 0.0)
    low, high = wilson(hits, n, z)
    other_low, other_high = wilson(other_hits, other_n, z)
    difference = share - other
    return (
        difference - sqrt((share - low) ** 2 + (other_high - other) ** 2),
        difference + sqrt((high - share) ** 2 + (other - other_low) ** 2),
    )


def answers_to_prove(share: float, limit: float, z: float = Z) -> int | None:
    """Reckon how many answers show that a share lies above the limit, if it stays what it is.

    None when it does not lie above. The lower end of Wilson's interval passes the limit where the score test
    does: n = z² limit (1 - limit) / (share - limit)².
    """
    if share <= limit:
        return None
    return ceil(z * z * limit * (1 - limit) / (share - limit) ** 2)


def sample_needed(share: float, margin: float, ratio: float = 1.0) -> int:
    """Reckon how many cases the smaller arm needs to tell a loss of `margin` from none.

    share: of hits among the cases; ratio: how many times as many cases the other arm has. Two-sided 95 %,
    power 90 %, by the normal approximation (Fleiss, Levin & Paik 2003, ch. 4).
    """
    spread = share * (1 - share) * (1 + 1 / ratio)
    return ceil((Z + Z_POWER) ** 2 * spread / margin**2)
