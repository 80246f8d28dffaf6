"""Is a difference more than chance? Paired tests by user, the size of the effect, many comparisons."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr  # scipy.stats has the test, and takes a second to import

FLIPS = 9_999
FEW = 13  # differing users; up to here every way to flip is tried: 8,192
MANY = 200  # differing users; beyond, the sum of flipped signs is normal for any practical purpose
LEVEL = 0.05


def paired_p_value(differences: npt.NDArray[Any], seed: int = 0) -> float:
    """Test whether paired differences, (n,), have mean zero; two-sided, by flipping their signs.

    Range 0 to 1; less speaks more against chance. Without a difference it is 1. Up to 200 users who
    differ the flips are counted (9,999 at random; all of them up to 13 users); beyond, the
    flipped sum is taken as normal, with its exact variance. NaN differences are left out.
    Source: Fisher 1935; for rankings Smucker, Allan & Carterette 2007, "A comparison of statistical
    significance tests for information retrieval evaluation", which prefers it to Wilcoxon's test.
    """
    found = np.asarray(differences, np.float64)
    found = found[~np.isnan(found) & (found != 0)]  # a zero stays zero whatever its sign
    if len(found) == 0:
        return 1.0
    if len(found) > MANY:
        return float(2 * ndtr(-abs(found.sum()) / np.sqrt((found**2).sum())))
    if len(found) <= FEW:
        flips = np.arange(2 ** len(found))[:, None] >> np.arange(len(found)) & 1
    else:
        flips = np.random.default_rng(seed).integers(0, 2, (FLIPS, len(found)), np.int8)
    flipped = found.sum() - 2 * (flips @ found)
    as_far = int((np.abs(flipped) >= abs(found.sum()) - 1e-9 * np.abs(found).sum()).sum())
    return as_far / len(flips) if len(found) <= FEW else (as_far + 1) / (FLIPS + 1)


def effect_size(differences: npt.NDArray[Any]) -> float:
    """Give the mean difference in standard deviations of the differences (Cohen's d of paired data).

    Any sign, 0 = none; 0.2 is commonly called small, 0.5 medium, 0.8 large. 0 when all are alike zero,
    infinite when all are alike and not zero. Source: Cohen 1988, "Statistical power analysis".
    """
    found = np.asarray(differences, np.float64)
    found = found[~np.isnan(found)]
    mean = float(found.mean()) if len(found) else 0.0
    spread = float(found.std(ddof=1)) if len(found) > 1 else 0.0
    if spread <= 1e-12 * abs(mean):
        return 0.0 if mean == 0 else float(np.copysign(np.inf, mean))
    return mean / spread


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of several comparisons, so that all together err once in twenty at 0.05.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return adjusted.tolist()
