"""The main job as a story, with the measured time of each step. Everything goes through the public API."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.synthetic import SyntheticShop
from portal.demo.clicks import Clicks, Tastes
from portal.demo.client import ApiError, Client
from portal.demo.traffic import Traffic

# Everything shares one machine here, and 100 answers tell only a release that loses nearly all clicks.
CANARY_CHECKS = {"max_error_ratio": 0.01, "p95_ratio": 3.0, "max_ctr_loss": 0.9, "max_conversion_loss": 1}
# Short holds, so that the story is short; every step still waits for 100 answers an arm and a verdict.
CANARY_PLAN = {
    "steps": [
        {"weight_pct": 10, "hold_s": 1, "min_answers": 100},
        {"weight_pct": 50, "hold_s": 1, "min_answers": 100},
        {"weight_pct": 100, "hold_s": 0, "min_answers": 0},
    ],
    "max_wait_s": 120,
    "checks": CANARY_CHECKS,
}
JOB_TIMEOUT_S = 3600.0
ROLLOUT_TIMEOUT_S = 300.0
RATE = 220.0  # requests a second
SHOPPERS = 400  # who ask, from the least to the most active
CANDIDATES = ("popularity", "item_knn", "als")


@dataclass
class Story:
    """Tells one step after the other; `say` prints a line."""

    program: Client  # a token: from the upload to the request
    token: str  # the same one, for what shoppers do meanwhile
    approver: Client  # a person who signed in: approves and rolls back
    placement: str
    deployment_id: str
    gateway_url: str
    say: Callable[[str], None]
    planted: SyntheticShop | None = None  # a person's own file has no tastes that are known
    seconds: dict[str, float] = field(default_factory=dict)
    traffic: Traffic | None = None
    clicks: Clicks | None = None

    def tell(self, ratings: Path, items: Path | None) -> None:
        """Run the whole story; raises ApiError or TimeoutError where it breaks."""
        version = self.upload(ratings, items)
        runs = self.train(version)
        best, second, first = self.compare(runs)
        users = self.sample_users(best)
        self.go_live(first, users)
        self.canary(best, users)
        self.show_shelves(users)
        self.canary(second, users, title="Promote a second version")
        self.show_clicks()
        self.roll_back()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        started = time.monotonic()
        self.say(f"\n{title}")
        yield
        self.seconds[title] = time.monotonic() - started
        self.say(f"  took {self.seconds[title]:.1f} s")

    def upload(self, ratings: Path, items: Path | None) -> str:
        with self.step("Upload"):
            name = "ratings"
            datasets = self.program.get("datasets")["results"]
            known = next((each for each in datasets if each["name"] == name), None)
            dataset = known or self.program.post("datasets", {"name": name})
            version: str = self.program.post(f"datasets/{dataset['id']}/versions")["id"]
            self.program.put_file(f"dataset-versions/{version}/file", ratings)
            if items is not None:
                self.program.put_file(f"dataset-versions/{version}/items", items)
            self.say(f"  {ratings.name}: {ratings.stat().st_size / 1e6:.1f} MB sent")
        with self.step("Check every line"):
            self.program.post(f"dataset-versions/{version}/check")
            self.program.wait(version, timeout_s=JOB_TIMEOUT_S)
            found = self.program.get(f"dataset-versions/{version}")
            self.say(
                f"  {found['interaction_count']:,} interactions of {found['user_count']:,} shoppers"
                f" with {found['item_count']:,} items; {100 * found['density']:.2f} % of all pairs"
            )
        return version

    def train(self, version: str) -> list[dict[str, Any]]:
        with self.step("Train popularity, item neighbours and ALS"):
            started = self.program.post(
                "training-runs",
                {
                    "dataset_version": version,
                    "model": "shop-main",
                    "algorithms": [{"algorithm": name} for name in CANDIDATES],
                },
            )
            runs = []
            for run in started["runs"]:
                self.program.wait(run["id"], timeout_s=JOB_TIMEOUT_S)
                runs.append(self.program.get(f"training-runs/{run['id']}"))
            self.say(f"  {runs[0]['split_note']}")
        return [run for run in runs if run["model_version"]]

    def compare(self, runs: list[dict[str, Any]]) -> tuple[str, str, str]:
        """Print the comparison; returns the best, second and third model version."""
        with self.step("Compare"):
            for run in runs:
                ndcg = run["metrics"]["ndcg@10"]
                verdict = (run["verdicts"].get("popularity") or {}).get("sentence", "")
                interval = f"({ndcg['low']:.4f} to {ndcg['high']:.4f})"
                self.say(f"  {run['algorithm']:<11} NDCG@10 {ndcg['value']:.4f} {interval}  {verdict}")
        ranked = sorted(runs, key=lambda run: run["metrics"]["ndcg@10"]["value"], reverse=True)
        best, second, third = (run["model_version"] for run in ranked)
        return best, second, third

    def sample_users(self, version: str) -> list[str]:
        users: list[str] = self.program.get(f"model-versions/{version}/shoppers", n=SHOPPERS)["shoppers"]
        return users

    def go_live(self, version: str, users: list[str]) -> None:
        """Put a first release live, unless one is: a canary needs something to be compared with."""
        if self.deployment()["stable"] is None:
            with self.step("Put a first release live"):
                self.promote(
                    version,
                    {"steps": [{"weight_pct": 100, "hold_s": 0, "min_answers": 0}]},
                    "The best-sellers first: nothing is live yet.",
                )
        if self.planted is not None:
            sender = Client(self.program.base.geturl(), token=self.token)
            self.clicks = Clicks(sender, Tastes(self.planted, users))
            self.clicks.start()
        look = self.clicks.look if self.clicks is not None else None
        self.traffic = Traffic(self.gateway_url, self.placement, users, RATE, look)
        self.traffic.start()

    def stop(self) -> None:
        """Let the shoppers go home, and send what they did last."""
        if self.traffic is not None:
            self.traffic.stop()
        if self.clicks is not None:
            self.clicks.stop()

    def canary(self, version: str, users: list[str], title: str = "Canary: 10 %, 50 %, everyone") -> None:
        live = self.deployment()["stable"]
        if live and live["model_version"] == version:
            self.say(f"\n{title}: that version is live already")
            return
        with self.step(title):
            self.promote(version, self.plan(), "Looks right to me.")

    def promote(self, version: str, plan: dict[str, Any], reason: str) -> None:
        """Ask with the token, approve as a person, and follow the rollout to its end."""
        asked = self.program.post(
            "promotions",
            {
                "model_version": version,
                "deployment": self.deployment_id,
                "plan": plan,
                "comment": "From the demo.",
            },
        )
        for gate in asked["evidence"]["gates"]:
            self.say(f"  gate {gate['verdict']:<15} {gate['label']}: {gate['sentence']}")
        try:
            self.program.post(f"promotions/{asked['id']}/approve", {"comment": "I approve my own request."})
        except ApiError as refused:
            self.say(f"  the token may not approve ({refused.status})")
        approved = self.approver.post(f"promotions/{asked['id']}/approve", {"comment": reason})
        rollout = approved["rollouts"][-1]
        self.say("  approved by a second person, who signed in; the rollout starts")
        seen = ""
        deadline = time.monotonic() + ROLLOUT_TIMEOUT_S
        while True:
            now = self.program.get(f"rollouts/{rollout}")
            line = f"{now['weight_pct']:>3} %  {now['status']}: {now['reason']}"
            if line != seen:
                seen = line
                self.say(f"  {line}")
            if now["status"] in ("succeeded", "failed", "aborted"):
                break
            if now["status"] == "paused" or time.monotonic() > deadline:
                raise TimeoutError(f"the rollout stands still: {now['reason']}")
            time.sleep(0.25)
        if now["status"] != "succeeded":
            raise ApiError(409, {"detail": f"the rollout {now['status']}: {now['reason']}"})

    def show_shelves(self, users: list[str]) -> None:
        with self.step("What three shoppers see"):
            shopper = Client(self.gateway_url)
            for user in users[:3]:
                answer = shopper.recommend(self.placement, user, 5)
                names = [item["title"] or item["item_id"] for item in answer["items"]]
                self.say(
                    f"  {user} (release {answer['release']}, {answer['served_by']}): {' · '.join(names)}"
                )

    def plan(self) -> dict[str, Any]:
        """Judge clicks only where shoppers click: on a person's own file nobody does."""
        if self.clicks is not None:
            return CANARY_PLAN
        return {**CANARY_PLAN, "checks": {**CANARY_CHECKS, "max_ctr_loss": 1}}

    def show_clicks(self) -> None:
        """Print the click rate of each release, as its page shows it."""
        if self.clicks is None:
            return
        with self.step("What shoppers clicked"):
            live = self.program.get(f"deployments/{self.deployment_id}/metrics", window="1h")
            for arm in live["arms"]:
                told = arm["feedback"]
                low, high = (100 * bound for bound in told["ctr_interval"])
                share = f"{100 * (told['ctr'] or 0):.1f} % ({low:.1f} to {high:.1f})"
                self.say(f"  release {arm['number']}: {share} of {told['exposures']:,} lists were clicked")
            if self.clicks.problem or not self.clicks.accepted:
                raise ApiError(422, {"detail": f"events were not taken: {self.clicks.problem or 'none'}"})

    def roll_back(self) -> None:
        with self.step("Roll back"):
            before = self.deployment()["stable"]["number"]
            rollout = self.approver.post(f"deployments/{self.deployment_id}/rollback", {"to_release": None})
            self.approver.wait(rollout["id"], timeout_s=30)
            measured = self.measured(rollout["id"])
            after = self.deployment()["stable"]["number"]
            self.say(
                f"  release {before} → {after}: last answer of the other release after"
                f" {measured['last_other_answer_ms']:.0f} ms, every gateway on the new routes after"
                f" {measured['routes_running_ms']:.0f} ms"
            )

    def measured(self, rollout: str) -> dict[str, Any]:
        """Wait for the gateways' measurement, which ends half a second after the last other answer."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            measured = self.program.get(f"rollouts/{rollout}")["measured"]
            if measured and measured.get("routes_running_ms") is not None:
                return {**measured, "last_other_answer_ms": measured.get("last_other_answer_ms") or 0.0}
            time.sleep(0.1)
        raise TimeoutError("no gateway has reported how long the rollback took")

    def deployment(self) -> dict[str, Any]:
        found: dict[str, Any] = self.program.get(f"deployments/{self.deployment_id}")
        return found
