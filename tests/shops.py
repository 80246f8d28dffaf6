"""A shop of its own in a running stack, made the way people make one: commands and the API."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from engine.synthetic import make_shop
from portal.demo.client import Client
from portal.demo.traffic import Traffic
from tests.running_stack import RunningStack

SCOPES = [
    "datasets:read", "datasets:write", "training:run", "models:read", "promotions:request", "events:write"
]  # fmt: skip
QUICK = {
    "steps": [
        {"weight_pct": 10, "hold_s": 0.5, "min_answers": 20},
        {"weight_pct": 50, "hold_s": 0.5, "min_answers": 20},
        {"weight_pct": 100, "hold_s": 0, "min_answers": 0},
    ],
    "max_wait_s": 120,
    "checks": {"max_error_ratio": 0.01, "p95_ratio": 3.0},
}
AT_ONCE = {"steps": [{"weight_pct": 100, "hold_s": 0, "min_answers": 0}]}
PATIENCE_S = 120.0


@dataclass
class LiveShop:
    """A shop with its people signed in over HTTP, and a token of the analyst."""

    stack: RunningStack
    slug: str
    people: dict[str, Client] = field(default_factory=dict)
    usernames: dict[str, str] = field(default_factory=dict)
    program: Any = None
    environment: str = ""
    deployment: str = ""
    versions: list[str] = field(default_factory=list)

    def close(self) -> None:
        for client in (*self.people.values(), self.program):
            client.close()

    def link(self, role: str) -> str:
        """Make a fresh one-time sign-in link."""
        return self.stack.manage("sign_in_link", self.usernames[role]).strip()

    def session(self, role: str) -> list[dict[str, str]]:
        """Return the cookies with which a browser goes on as this person."""
        cookies = self.people[role].cookies()
        return [
            {"name": name, "value": value, "url": self.stack.portal_url} for name, value in cookies.items()
        ]

    def wait_rollout(self, rollout: str, *statuses: str, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """Poll a rollout until it has one of the statuses."""
        deadline = time.monotonic() + timeout_s
        while True:
            found: dict[str, Any] = self.program.get(f"rollouts/{rollout}")
            if found["status"] in statuses:
                return found
            assert time.monotonic() < deadline, f"still {found['status']}: {found['reason']}"
            assert found["status"] not in ("failed", "aborted"), found["reason"]
            time.sleep(0.1)

    def upload(self, ratings: Path, items: Path | None = None) -> str:
        """Upload and check; returns the version's id."""
        dataset = self.program.post("datasets", {"name": f"ratings {uuid4().hex[:6]}"})
        version: str = self.program.post(f"datasets/{dataset['id']}/versions")["id"]
        self.program.put_file(f"dataset-versions/{version}/file", ratings)
        if items is not None:
            self.program.put_file(f"dataset-versions/{version}/items", items)
        self.program.post(f"dataset-versions/{version}/check")
        self.program.wait(version, timeout_s=PATIENCE_S)
        return version

    def train(self, version: str, *algorithms: str) -> list[str]:
        """Train; returns the ids of the model versions that came out, in the order asked."""
        body = {
            "dataset_version": version,
            "model": "main",
            "algorithms": [{"algorithm": name} for name in algorithms],
        }
        runs = self.program.post("training-runs", body)["runs"]
        for run in runs:
            self.program.wait(run["id"], timeout_s=PATIENCE_S)
        done = [self.program.get(f"training-runs/{run['id']}") for run in runs]
        made = {run["algorithm"]: run["model_version"] for run in done if run["model_version"]}
        return [made[name] for name in algorithms]

    def ask(self, version: str, plan: dict[str, Any]) -> dict[str, Any]:
        body = {"model_version": version, "deployment": self.deployment, "plan": plan}
        asked: dict[str, Any] = self.program.post("promotions", body)
        return asked

    def go_live(self, version: str, plan: dict[str, Any] = AT_ONCE) -> dict[str, Any]:
        """Ask, approve as the second person, and wait until it serves everybody."""
        asked = self.ask(version, plan)
        approved = self.people["approver"].post(
            f"promotions/{asked['id']}/approve", {"comment": "For the test."}
        )
        return self.wait_rollout(approved["rollouts"][-1], "succeeded")

    def see_environment(self) -> dict[str, Any]:
        """Read the environment, with what was last seen of its gateways."""
        found = self.people["admin"].get("environments")["results"]
        return next(each for each in found if each["id"] == self.environment)

    def traffic(self, users: list[str], rate: float, gateway_url: str = "") -> Traffic:
        return Traffic(gateway_url or self.stack.gateway_url, f"{self.slug}/home", users, rate)


def open_live_shop(stack: RunningStack, **environment: Any) -> LiveShop:
    """Open a shop with one person a role, a token, and an open placement named home.

    environment: what is special about the environment that the placement is in.
    """
    name = f"t{uuid4().hex[:8]}"
    printed = stack.manage(
        "open_shop", name, "--name", "Test Shop", "--admin", "Ada Admin", "--email", f"ada-{name}@example.com"
    )
    shop = LiveShop(stack, name, usernames={"admin": f"ada-{name}"})
    admin = shop.people["admin"] = Client(stack.portal_url, shop=name)
    admin.sign_in_by_link(printed.split()[-1])
    for role, first in (("analyst", "Ana"), ("approver", "Pia"), ("operator", "Otto"), ("viewer", "Vera")):
        username = shop.usernames[role] = f"{first.lower()}-{name}"
        admin.post(
            "members",
            {
                "username": username,
                "name": f"{first} {role.title()}",
                "email": f"{username}@example.com",
                "role": role,
            },
        )
    roles = [role for role in shop.usernames if role != "admin"]
    links = stack.manage("sign_in_link", *[shop.usernames[role] for role in roles]).split()
    for role, link in zip(roles, links, strict=True):
        shop.people[role] = Client(stack.portal_url, shop=name)
        shop.people[role].sign_in_by_link(link)
    token = shop.people["analyst"].post("tokens", {"name": "test", "scopes": SCOPES})["token"]
    shop.program = Client(stack.portal_url, token=token)
    made = admin.post("environments", {"slug": "production", "name": "Production", **environment})
    shop.environment = made["id"]
    placement = {"environment": made["id"], "slug": "home", "name": "the home page", "is_open": True}
    shop.deployment = admin.post("deployments", placement)["id"]
    return shop


def write_files(
    folder: Path, *, users: int = 800, items: int = 300, interactions: int = 20_000
) -> tuple[Path, Path]:
    """Write a small generated shop's ratings and items."""
    made = make_shop(n_users=users, n_items=items, n_interactions=interactions, seed=3)
    ratings, products = folder / "ratings.csv", folder / "products.csv"
    made.write_interactions_csv(ratings)
    made.write_items_csv(products)
    return ratings, products
