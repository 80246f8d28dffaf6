"""The parts of the model server that need no process: signed ids, and the index of a million ids."""

import base64
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.interactions import IdTable
from engine.serving.attribution import PREFIX, claimed_release, issue, read
from engine.serving.id_index import IdIndex
from engine.serving.requests import Filters, Wanted
from engine.serving.result_cache import OVERHEAD_BYTES, KeptList, ResultCache, key_of

KEY = b"0123456789abcdef"
NAMES = st.from_regex(r"[A-Za-z0-9_.-]{0,80}", fullmatch=True)


@given(release=NAMES, deployment=NAMES, variant=NAMES, key=st.binary(min_size=1, max_size=64))
def test_what_is_issued_is_read_back(release: str, deployment: str, variant: str, key: bytes) -> None:
    name = issue(key, release=release, deployment=deployment, variant=variant, now_ms=1_700_000_000_123)
    found = read(key, name)
    assert (found.release, found.deployment, found.variant) == (release, deployment, variant)
    assert found.served_at == datetime(2023, 11, 14, 22, 13, 20, 123000, UTC)
    assert claimed_release(name) == release


def test_ids_are_short_unique_and_safe_in_a_url() -> None:
    ulid = "01J9ZQ4K7V8M3N5P6Q7R8S9T0A"
    ids = {issue(KEY, release=f"rel_{ulid}", deployment=f"dep_{ulid}", variant="canary") for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(each) < 140 and each.replace("-", "_").isidentifier() for each in ids)


def test_any_changed_character_is_noticed() -> None:
    name = issue(KEY, release="rel_1", deployment="dep_1", variant="stable")
    for at in range(len(PREFIX), len(name)):
        for other in "Aa9_":
            changed = name[:at] + other + name[at + 1 :]
            if changed != name:
                with pytest.raises(ValueError, match="recommendation_id"):
                    read(KEY, changed)


def test_a_signature_does_not_carry_over_to_other_facts() -> None:
    mine = issue(KEY, release="rel_1", deployment="dep_1", variant="stable")
    raw = base64.urlsafe_b64decode(mine[len(PREFIX) :] + "==")
    forged = raw.replace(b"rel_1", b"rel_2")
    with pytest.raises(ValueError, match="not issued"):
        read(KEY, PREFIX + base64.urlsafe_b64encode(forged).rstrip(b"=").decode())
    with pytest.raises(ValueError, match="not issued"):
        read(KEY + b"x", mine)


@pytest.mark.parametrize(
    "text", ["", "rec_", "rec_!!!!", "rec_é", "abc", "rec_" + "A" * 38, "rec_" + "A" * 9999]
)
def test_what_was_never_an_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="recommendation_id"):
        read(KEY, text)
    with pytest.raises(ValueError, match="recommendation_id"):
        claimed_release(text)


@pytest.mark.parametrize("name", ["with space", "nul\0", "é", "x" * 81])
def test_names_that_could_not_be_read_back_are_not_signed(name: str) -> None:
    with pytest.raises(ValueError, match="plain names"):
        issue(KEY, release=name, deployment="dep_1", variant="stable")


@settings(deadline=None)  # the first call compiles
@given(st.sets(st.text(max_size=12), max_size=60), st.lists(st.text(max_size=12), max_size=20))
def test_the_index_finds_what_a_dictionary_finds(ids: set[str], others: list[str]) -> None:
    listed = [each for each in ids if each.isprintable()]
    others = [each for each in others if each.isprintable()]
    expected = {name: at for at, name in enumerate(listed)}
    index = IdIndex(IdTable.of(listed))
    for name in listed + others:
        assert index.find(name) == expected.get(name, -1)
    assert index.find_all(listed + others).tolist() == list(range(len(listed)))
    assert index.find_all(others).tolist() == sorted({expected[each] for each in others if each in expected})


def test_the_index_of_many_ids_whatever_the_seed() -> None:
    ids = [f"user-{n}" for n in range(100_000)]
    table = IdTable.of(ids)
    for seed in (0, 1, 2**64 - 1):
        index = IdIndex(table, seed=seed)
        assert np.array_equal(index.find_all(ids), np.arange(100_000))
        assert index.find("user-100000") == -1
        assert [index.find(name) for name in ids[::9973]] == list(range(0, 100_000, 9973))


def kept(text: bytes) -> KeptList:
    return KeptList(text, 1, "als", None, 0, False)


def test_the_cache_keeps_what_was_asked_for_last_within_its_bytes() -> None:
    cache = ResultCache(3 * (OVERHEAD_BYTES + 1_000))
    keys = [key_of("user", n, Wanted()) for n in range(4)]
    for n in range(3):
        cache.keep(keys[n], kept(b"%d" % n * 800))
    assert cache.find(keys[0]) is not None, "asked for again: stays"
    cache.keep(keys[3], kept(b"3" * 800))
    assert cache.find(keys[1]) is None
    assert [cache.find(key) is not None for key in keys] == [True, False, True, True]
    assert len(cache) == 3
    assert 0 < cache.n_bytes <= cache.max_bytes
    cache.keep(keys[1], kept(b"x" * cache.max_bytes))
    assert cache.find(keys[1]) is None, "larger than the whole cache"
    cache.keep(keys[0], kept(b"another"))
    assert cache.n_bytes <= cache.max_bytes


def test_a_cache_of_no_bytes_keeps_nothing() -> None:
    cache = ResultCache(0)
    cache.keep(key_of("user", 1, Wanted()), kept(b""))
    assert len(cache) == cache.n_bytes == 0


def test_whatever_decides_a_list_is_in_its_key() -> None:
    plain = ("user", 1, Wanted())
    others = [
        ("item", 1, Wanted()),
        ("user", 2, Wanted()),
        *(("user", 1, wanted) for wanted in (
            Wanted(k=9), Wanted(exclude=["a"]), Wanted(context=["a"]), Wanted(filters=Filters(("a",))),
            Wanted(filters=Filters(price_max=1.0)), Wanted(explain=True),
        )),
    ]  # fmt: skip
    assert len({key_of(*each) for each in [plain, *others]}) == 1 + len(others)
    assert key_of("user", 1, Wanted(exclude=[str(n) for n in range(65)])) is None
