"""A recommendation's id carries its own facts, signed: a click is attributed without storing impressions.

`rec_` + base64url of `release NUL deployment NUL variant`, a time and random bytes, and a truncated HMAC.
The key is per release and good for nothing else; whoever holds many keys (the portal) asks
`claimed_release` which one to check with.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime

PREFIX = "rec_"
MAX_LENGTH = 512
TIME_BYTES, RANDOM_BYTES, MAC_BYTES = 6, 6, 16
TAIL_BYTES = TIME_BYTES + RANDOM_BYTES + MAC_BYTES
PART = re.compile(r"[A-Za-z0-9_.-]{0,80}")
CONTEXT = b"aisle recommendation_id 1\0"


@dataclass(frozen=True)
class Attribution:
    """What a recommendation's id says of the answer that carried it."""

    release: str
    deployment: str
    variant: str
    served_at: datetime


def issue(key: bytes, *, release: str, deployment: str, variant: str, now_ms: int | None = None) -> str:
    """Make a new id; now_ms: milliseconds since 1970, by default the clock's.

    Raises ValueError when a name could not be read back.
    """
    if not all(map(PART.fullmatch, (release, deployment, variant))):
        raise ValueError("release, deployment and variant must be plain names")
    stamp = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    facts = b"%b\0%b\0%b" % (release.encode(), deployment.encode(), variant.encode())
    facts += stamp.to_bytes(TIME_BYTES, "big") + secrets.token_bytes(RANDOM_BYTES)
    return PREFIX + base64.urlsafe_b64encode(facts + _sign(key, facts)).rstrip(b"=").decode()


def read(key: bytes, recommendation_id: str) -> Attribution:
    """Read an id that `issue` made with the same key; raise ValueError if it is forged or damaged."""
    raw = _decode(recommendation_id)
    facts, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
    if not hmac.compare_digest(mac, _sign(key, facts)):
        raise ValueError("this recommendation_id was not issued by that release")
    release, deployment, variant = _names(raw)
    at = -TAIL_BYTES
    stamp = int.from_bytes(raw[at : at + TIME_BYTES], "big")
    return Attribution(release, deployment, variant, datetime.fromtimestamp(stamp / 1000, UTC))


def claimed_release(recommendation_id: str) -> str:
    """Say which release an id claims to be from, to find the key; nothing is checked yet."""
    return _names(_decode(recommendation_id))[0]


def _sign(key: bytes, facts: bytes) -> bytes:
    return hmac.digest(key, CONTEXT + facts, hashlib.sha256)[:MAC_BYTES]


def _decode(recommendation_id: str) -> bytes:
    text = recommendation_id.removeprefix(PREFIX)
    if len(text) == len(recommendation_id) or len(text) > MAX_LENGTH:
        raise ValueError("not a recommendation_id")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not a recommendation_id") from error
    if len(raw) <= TAIL_BYTES or base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise ValueError("not a recommendation_id")  # the second: one spelling an id, so that a set dedupes
    return raw


def _names(raw: bytes) -> tuple[str, str, str]:
    try:
        release, deployment, variant = raw[:-TAIL_BYTES].decode("ascii").split("\0")
    except ValueError as error:
        raise ValueError("not a recommendation_id") from error
    return release, deployment, variant
