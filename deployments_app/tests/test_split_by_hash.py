"""The split over many shoppers, by the hash that `test_gateway_split` finds Envoy to take."""

from itertools import combinations
from urllib.parse import quote

import pytest

from deployments_app.tests.envoy_hash import canaries_by_hash, xxh64

SALTS = ("1c6c4a21c1a2b9aa", "9f8e7d6c5b4a3928", "0000000000000000")
MANY = [f"shopper-{number}" for number in range(100_000)]
KINDS = {
    "names": MANY,
    "numbers": [str(number) for number in range(100_000)],
    "long": [
        f"{number:08x}-6c2e-4b11-9d3f-{number * 2_654_435_761 % 2**48:012x}" for number in range(100_000)
    ],
    "beyond ASCII": [quote(f"Zoë {number} 李") for number in range(100_000)],
}


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("", 0xEF46DB3751D8E999),
        ("abc", 0x44BC2CF5AD770999),
        ("Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),  # 39 bytes: one stripe and a rest
    ],
)
def test_the_hash_is_the_published_one(text, known):
    assert int(xxh64([text])[0]) == known


@pytest.mark.parametrize("kind", KINDS)
def test_the_split_is_within_half_a_point_over_100_000_shoppers(kind):
    # Half a point is 5.3 standard deviations at 10 % and 3.2 at 50 %: fixed salts, so that chance is none.
    for salt in SALTS:
        for share_pct in (10, 50):
            canaries = canaries_by_hash(KINDS[kind], salt, share_pct)
            assert len(canaries) == pytest.approx(1000 * share_pct, abs=500), (salt, share_pct)


def test_the_canaries_of_two_rollouts_overlap_as_chance_would():
    for one, other in combinations([canaries_by_hash(MANY, salt, 10) for salt in SALTS], 2):
        by_chance = len(one) * len(other) / len(MANY)
        assert len(one & other) == pytest.approx(by_chance, abs=4 * by_chance**0.5)
