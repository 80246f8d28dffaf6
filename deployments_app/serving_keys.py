"""Serving keys: signed tokens that Envoy checks by their public half. The private half is never kept."""

import json
import time
from datetime import datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm
from ulid import ULID

ISSUER = "aisle"
ALGORITHM = "EdDSA"


def issue_key(audience: str, expires_at: datetime) -> tuple[str, dict[str, Any], str]:
    """Make a key for one audience: (kid, public JWK, token).

    audience: "{shop}/{deployment}". The key pair signs this one token and is forgotten, so that removing
    the JWK from the gateway revokes exactly this token, and nobody, the portal included, can make another.
    """
    kid = f"key_{ULID()}"
    private_key = Ed25519PrivateKey.generate()
    return (
        kid,
        public_jwk(private_key, kid),
        sign_token(private_key, kid, audience, int(expires_at.timestamp())),
    )


def public_jwk(private_key: Ed25519PrivateKey, kid: str) -> dict[str, Any]:
    """Write the public half of a key as a JWK that says what it is for."""
    jwk: dict[str, Any] = json.loads(OKPAlgorithm.to_jwk(private_key.public_key()))
    return {"kty": jwk["kty"], "crv": jwk["crv"], "x": jwk["x"], "kid": kid, "alg": ALGORITHM, "use": "sig"}


def sign_token(private_key: Ed25519PrivateKey, kid: str, audience: str, expires_at_s: int) -> str:
    """Sign a token for one audience; `expires_at_s` in seconds since 1970."""
    claims = {"iss": ISSUER, "aud": audience, "sub": kid, "iat": int(time.time()), "exp": expires_at_s}
    return jwt.encode(claims, private_key, algorithm=ALGORITHM, headers={"kid": kid})
