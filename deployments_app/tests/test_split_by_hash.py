"""The split over many shoppers, by the hash that `test_gateway_split` finds Envoy to take."""

import pytest

from deployments_app.services.traffic import new_salt
from deployments_app.tests.envoy_hash import canaries_by_hash

MANY = [f"shopper-{number}" for number in range(100_000)]


@pytest.mark.parametrize("share_pct", [10, 50])
def test_the_split_is_within_half_a_point_over_100_000_shoppers(share_pct):
    # Half a point is 5.3 standard deviations at 10 % and 3.2 at 50 %: fixed salts, so that chance is none.
    for salt in ("1c6c4a21c1a2b9aa", "9f8e7d6c5b4a3928", "0000000000000000"):
        assert len(canaries_by_hash(MANY, salt, share_pct)) == pytest.approx(1000 * share_pct, abs=500)


def test_of_10_000_shoppers_none_changes_arm_in_a_ramp_but_from_stable_to_canary():
    shoppers, salt, before = MANY[:10_000], new_salt(), set()
    for share_pct in (1, 5, 10, 25, 50, 75, 100):
        now = canaries_by_hash(shoppers, salt, share_pct)
        assert before < now
        before = now
    assert before == set(shoppers)


def test_the_canaries_of_two_rollouts_overlap_as_chance_would():
    one, other = (canaries_by_hash(MANY, salt, 10) for salt in ("1c6c4a21c1a2b9aa", "9f8e7d6c5b4a3928"))
    by_chance = len(one) * len(other) / len(MANY)
    assert len(one & other) == pytest.approx(by_chance, abs=4 * by_chance**0.5)
