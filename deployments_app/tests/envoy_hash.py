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


def canaries_by_hash(users: list[str], salt: str, share_pct: int) -> set[str]:
    """Name the users who get the canary at a share."""
    by_length: dict[int, list[str]] = {}
    for user in users:
        by_length.setdefault(len(user), []).append(user)
    return {
        user
        for same in by_length.values()
        for user, value in zip(same, _xxh64([f"{salt}:{user}" for user in same]) % 100, strict=True)
        if value >= 100 - share_pct
    }


def _xxh64(texts: list[str]) -> np.ndarray:
    """Hash texts of one length, below 32 bytes, by XXH64 with seed 0 (github.com/Cyan4973/xxHash, doc)."""
    data = np.frombuffer("".join(texts).encode(), np.uint8).reshape(len(texts), -1)
    length = data.shape[1]
    assert length < 32
    with np.errstate(over="ignore"):
        hashes = np.full(len(texts), P5 + np.uint64(length), np.uint64)
        at = 0
        while at + 8 <= length:
            lane = np.ascontiguousarray(data[:, at : at + 8]).view("<u8").ravel()
            hashes = _rotated(hashes ^ (_rotated(lane * P2, 31) * P1), 27) * P1 + P4
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


def _rotated(values: np.ndarray, by: int) -> np.ndarray:
    return (values << np.uint64(by)) | (values >> np.uint64(64 - by))
