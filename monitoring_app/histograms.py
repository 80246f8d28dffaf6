"""Latency histograms: cumulative from the source, per bucket in the database, quantiles on the page."""

from collections.abc import Iterable, Mapping


def from_cumulative(pairs: Iterable[tuple[float, int]]) -> dict[str, int]:
    """Turn (upper bound in ms, answers up to it) into answers per bucket, keyed by the bound as text."""
    counts: dict[str, int] = {}
    before = 0
    for upper, up_to in sorted(pairs):
        counts[f"{upper:g}"] = max(0, up_to - before)
        before = max(before, up_to)
    return counts


def add(*histograms: Mapping[str, int]) -> dict[str, int]:
    """Add histograms bucket by bucket; empty buckets stay, because their bounds count."""
    total: dict[str, int] = {}
    for histogram in histograms:
        for upper, count in histogram.items():
            total[upper] = total.get(upper, 0) + count
    return total


def count_above(histogram: Mapping[str, int], limit_ms: float) -> int:
    """Count the answers in buckets that lie wholly above the limit."""
    total, lower = 0, 0.0
    for upper, count in sorted((float(upper), count) for upper, count in histogram.items()):
        total += count if lower >= limit_ms else 0
        lower = upper
    return total


def quantile(histogram: Mapping[str, int], share: float) -> float | None:
    """Estimate the latency (ms) that `share` of the answers stayed within; None without answers.

    Linear within a bucket, as Prometheus' `histogram_quantile`; the last bucket gives its lower bound.
    """
    buckets = sorted((float(upper), count) for upper, count in histogram.items())
    total = sum(count for _, count in buckets)
    if not total:
        return None
    wanted, before, lower = share * total, 0, 0.0
    for upper, count in buckets:
        if count and before + count >= wanted:
            return lower if upper == float("inf") else lower + (upper - lower) * (wanted - before) / count
        before += count
        lower = upper
    return lower
