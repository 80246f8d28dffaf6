"""Who may ask: serving keys, checked by a real Envoy."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deployments_app.gateway import DeploymentRoute
from deployments_app.serving_keys import issue_key, public_jwk, sign_token
from deployments_app.tests.gateway_rig import Answer, Client, Gateway, Upstream, deployment, running_upstreams

SOON = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture(scope="module")
def upstreams() -> Iterator[dict[str, Upstream]]:
    with running_upstreams("r1") as running:
        yield running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("keys"))
    gateway.start()
    yield gateway
    gateway.stop()


def closed(upstreams: dict[str, Upstream], *keys: dict[str, Any], slug: str = "home") -> DeploymentRoute:
    return deployment(upstreams, {"r1": 100}, slug=slug, is_open=False, keys=keys)


def ask(gateway: Gateway, token: str | None, slug: str = "home") -> Answer:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return gateway.ask_for("u1", slug, headers=headers)


def test_a_key_opens_its_own_deployment_only(gateway: Gateway, upstreams: dict[str, Upstream]) -> None:
    _, home_jwk, home = issue_key("shop/home", SOON)
    _, cart_jwk, cart = issue_key("shop/cart", SOON)
    gateway.publish(closed(upstreams, home_jwk), closed(upstreams, cart_jwk, slug="cart"))
    assert ask(gateway, home).status == 200
    assert ask(gateway, cart, "cart").status == 200
    for token, slug in ((home, "cart"), (cart, "home")):
        refused = ask(gateway, token, slug)
        assert (refused.status, refused.json["code"]) == (403, "key_of_another_deployment")
    for nonsense in (None, "", "x", "x.y.z", home[:-8] + "AAAAAAAA"):
        refused = ask(gateway, nonsense)
        assert (refused.status, refused.json["code"]) == (401, "key_missing_or_invalid")
        assert refused.headers["www-authenticate"].startswith("Bearer")


def test_a_token_with_another_audience_issuer_or_age_is_refused(
    gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    private_key = Ed25519PrivateKey.generate()
    gateway.publish(closed(upstreams, public_jwk(private_key, "k1")))
    now = int(time.time())
    good: dict[str, Any] = {"iss": "aisle", "aud": "shop/home", "exp": now + 600}

    def status(**changes: Any) -> int:
        claims = {name: value for name, value in {**good, **changes}.items() if value is not None}
        return ask(gateway, jwt.encode(claims, private_key, "EdDSA", headers={"kid": "k1"})).status

    assert status() == 200
    assert status(aud="shop/cart") == 403
    assert status(iss="someone") == 401
    assert status(exp=now - 600) == 401
    assert status(exp=None) == 401
    other = sign_token(Ed25519PrivateKey.generate(), "k1", "shop/home", now + 600)
    assert ask(gateway, other).status == 401
    assert ask(gateway, jwt.encode(good, "", "none", headers={"kid": "k1"})).status == 401


def test_a_new_key_works_and_a_revoked_one_stops_within_a_second(
    gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    _, old_jwk, old = issue_key("shop/home", SOON)
    _, new_jwk, new = issue_key("shop/home", SOON)
    gateway.publish(closed(upstreams, old_jwk))
    assert (ask(gateway, old).status, ask(gateway, new).status) == (200, 401)
    published_at = time.monotonic()
    gateway.publish(closed(upstreams, new_jwk), wait=False)
    while (ask(gateway, old).status, ask(gateway, new).status) != (401, 200):
        assert time.monotonic() - published_at < 5 * 1.0  # a machine under load takes longer


def test_a_change_of_keys_disturbs_neither_a_request_nor_a_connection(
    gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    _, jwk, token = issue_key("shop/home", SOON)
    gateway.publish(closed(upstreams, jwk))
    client = Client(gateway.ports.port)
    client.connection.connect()
    local_port = client.connection.sock.getsockname()[1]
    slow: list[int] = []

    def ask_slowly() -> None:
        path = "/shop/home/recommendations?user=u1&sleep=0.25"
        slow.append(client.ask(path, headers={"Authorization": f"Bearer {token}"}).status)

    asking = threading.Thread(target=ask_slowly)
    asking.start()
    time.sleep(0.05)
    gateway.publish(closed(upstreams))
    asking.join()
    assert slow == [200]  # was let in before the key was revoked
    refused = client.ask("/shop/home/recommendations?user=u1", headers={"Authorization": f"Bearer {token}"})
    assert refused.status == 401
    assert client.connection.sock.getsockname()[1] == local_port
    client.close()


def test_an_open_deployment_needs_no_key(gateway: Gateway, upstreams: dict[str, Upstream]) -> None:
    gateway.publish(deployment(upstreams, {"r1": 100}), closed(upstreams, slug="cart"))
    assert ask(gateway, None).status == 200
    assert ask(gateway, None, "cart").status == 401


def test_a_preview_is_reached_by_its_address_and_with_a_key_only(
    gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    _, jwk, token = issue_key("shop/home", SOON)
    headers = {"Authorization": f"Bearer {token}"}
    with running_upstreams("r2") as more:
        both = {**upstreams, **more}
        for is_open in (True, False):
            route = deployment(both, {"r1": 100, "r2": 0}, preview="r2", is_open=is_open, keys=(jwk,))
            gateway.publish(route)
            asked = gateway.ask("/shop/home/preview/recommendations?user=u1&k=3", headers=headers)
            assert (asked.status, asked.release, asked.arm) == (200, "r2", "r2")
            assert asked.json["target"] == "/shop/home/recommendations?user=u1&k=3"
            assert (asked.json["headers"]["x-aisle-variant"], asked.json["headers"]["x-aisle-probe"]) == (
                "preview",
                "1",
            )
            assert gateway.ask("/shop/home/preview/recommendations?user=u1").status == 401
            assert gateway.ask_for("u1", headers=headers).release == "r1"
        gateway.publish(closed(upstreams, jwk))
        over = gateway.ask("/shop/home/preview/recommendations?user=u1", headers=headers)
        assert over.release == "r1"  # an address like any other of the placement again


def test_a_path_that_climbs_does_not_reach_a_closed_deployment(
    gateway: Gateway, upstreams: dict[str, Upstream]
) -> None:
    gateway.publish(deployment(upstreams, {"r1": 100}), closed(upstreams, slug="cart"))
    for climb in ("..", "%2e%2e", "%2E.", "./..", "x/../.."):
        assert gateway.ask(f"/shop/home/{climb}/cart/recommendations?user=u1").status == 401
    for climb in ("..%2fcart", "%2e%2e%2fcart", "..%252fcart", "..;/cart"):
        answer = gateway.ask(f"/shop/home/{climb}/recommendations?user=u1")
        assert answer.json.get("headers", {}).get("x-aisle-deployment") in (None, "dep_home")


def test_a_broken_key_among_good_ones_harms_nobody(gateway: Gateway, upstreams: dict[str, Upstream]) -> None:
    _, jwk, token = issue_key("shop/home", SOON)
    broken = {"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "broken"}
    gateway.publish(closed(upstreams, broken, jwk))
    assert ask(gateway, token).status == 200


def test_a_key_is_never_issued_with_its_private_half() -> None:
    kid, jwk, token = issue_key("shop/home", SOON)
    assert set(jwk) == {"kty", "crv", "x", "kid", "alg", "use"}
    assert jwt.get_unverified_header(token)["kid"] == jwk["kid"] == kid
    claims = jwt.decode(token, jwt.PyJWK(jwk), algorithms=["EdDSA"], audience="shop/home", issuer="aisle")
    assert claims["exp"] == int(SOON.timestamp())
