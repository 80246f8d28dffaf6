"""Which arm Envoy gives a shopper, computed: XXH64 of `salt:user` modulo 100, stable's share first."""

import numpy as np

P1, P2, P3, P4, P5 = (
    np.uint64(each)
    for each in (
        0x9E3779B185EBCA87,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x85EBCA77C2B2AE63,
        0x27D4EB2F165667C5,
    )
)
ZERO = np.uint64(0)


def canaries_by_hash(users: list[str], salt: str, share_pct: int) -> set[str]:
    """Name the users who get the canary at a share; users as the URL spells them."""
    by_length: dict[int, list[str]] = {}
    for user in users:
        by_length.setdefault(len(user.encode()), []).append(user)
    return {
        user
        for same in by_length.values()
        for user, value in zip(same, xxh64([f"{salt}:{user}" for user in same]) % 100, strict=True)
        if value >= 100 - share_pct
    }


def xxh64(texts: list[str]) -> np.ndarray:
    """Hash texts of one length in bytes by XXH64 with seed 0 (github.com/Cyan4973/xxHash, doc)."""
    data = np.frombuffer("".join(texts).encode(), np.uint8).reshape(len(texts), -1)
    length = data.shape[1]
    with np.errstate(over="ignore"):
        at = length // 32 * 32
        hashes = _stripes(data[:, :at]) if at else np.full(len(texts), P5, np.uint64)
        hashes += np.uint64(length)
        while at + 8 <= length:
            hashes = _rotated(hashes ^ _round(ZERO, _lanes(data, at)), 27) * P1 + P4
            at += 8
        if at + 4 <= length:
            lane = np.ascontiguousarray(data[:, at : at + 4]).view("<u4").ravel().astype(np.uint64)
            hashes = _rotated(hashes ^ (lane * P1), 23) * P2 + P3
            at += 4
        for place in range(at, length):
            hashes = _rotated(hashes ^ (data[:, place].astype(np.uint64) * P5), 11) * P1
        for shift, prime in ((33, P2), (29, P3), (32, np.uint64(1))):
            hashes = (hashes ^ (hashes >> np.uint64(shift))) * prime
    return hashes


def _stripes(data: np.ndarray) -> np.ndarray:
    """Take in whole stripes of 32 bytes, each as four lanes."""
    starts = (P1 + P2, P2, ZERO, ZERO - P1)
    states = [np.full(len(data), start, np.uint64) for start in starts]
    for at in range(0, data.shape[1], 32):
        states = [_round(state, _lanes(data, at + 8 * lane)) for lane, state in enumerate(states)]
    hashes = np.zeros(len(data), np.uint64)
    for state, by in zip(states, (1, 7, 12, 18), strict=True):
        hashes += _rotated(state, by)
    for state in states:
        hashes = (hashes ^ _round(ZERO, state)) * P1 + P4
    return hashes


def _lanes(data: np.ndarray, at: int) -> np.ndarray:
    lanes: np.ndarray = np.ascontiguousarray(data[:, at : at + 8]).view("<u8").ravel()
    return lanes


def _round(state: np.ndarray | np.uint64, lane: np.ndarray) -> np.ndarray:
    return _rotated(state + lane * P2, 31) * P1


def _rotated(values: np.ndarray, by: int) -> np.ndarray:
    return (values << np.uint64(by)) | (values >> np.uint64(64 - by))
