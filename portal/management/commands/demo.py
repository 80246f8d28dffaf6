"""Tell the whole story on this machine: from a file of ratings to recommendations, and back."""

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from engine.synthetic import make_shop
from portal.core.actors import person
from portal.core.models import Role
from portal.core.tokens import create_token
from portal.demo.client import ApiError, Client
from portal.demo.shop import prepare_shop
from portal.demo.story import Story

SCOPES = [
    "datasets:read", "datasets:write", "training:run", "models:read", "promotions:request", "events:write"
]  # fmt: skip


class Command(BaseCommand):
    help = "Run the main job over the public API, with a measured time per step."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--file", type=Path, help="a ratings file of your own, instead of the demo shop's"
        )
        parser.add_argument("--once", action="store_true", help="say only the story, not how to go on")

    def handle(self, *args: Any, **options: Any) -> None:
        file: Path | None = options["file"]
        if file is not None and not file.is_file():
            raise CommandError(f"There is no file {file}.")
        started = time.monotonic()
        shop, people, deployment = prepare_shop()
        analyst, approver = people[Role.ANALYST], people[Role.APPROVER]
        _, token = create_token(actor=person(analyst.user), shop=shop, name="demo", scopes=SCOPES, days=1)
        by_person = Client(settings.PUBLIC_URL, shop=shop.slug)
        by_person.sign_in(approver.user.username, approver.password)
        story = Story(
            program=Client(settings.PUBLIC_URL, token=token),
            token=token,
            approver=by_person,
            placement=f"{shop.slug}/{deployment.slug}",
            deployment_id=deployment.pk,
            gateway_url=settings.GATEWAY_URL,
            say=lambda line: self.stdout.write(line),
        )
        with ExitStack() as stack:
            ratings, items = file, None
            if ratings is None:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                with story.step("Make a demo shop"):
                    ratings, items = self._generate(folder, story)
            try:
                story.tell(ratings, items)
            except (ApiError, TimeoutError, OSError) as error:
                raise CommandError(f"The story broke: {error}") from error
            finally:
                story.stop()
        self._sum_up(story, time.monotonic() - started)
        if not options["once"]:
            self._introduce(people, shop.slug)

    def _generate(self, folder: Path, story: Story) -> tuple[Path, Path]:
        shop = story.planted = make_shop(seed=1)
        ratings, items = folder / "ratings.csv", folder / "products.csv"
        shop.write_interactions_csv(ratings)
        shop.write_items_csv(items)
        return ratings, items

    def _sum_up(self, story: Story, total_s: float) -> None:
        traffic = story.traffic
        if traffic is not None:
            shares = ", ".join(
                f"release {number}: {count:,}" for number, count in sorted(traffic.answers.items())
            )
            failed = sum(traffic.failures.values())
            self.stdout.write(f"\nShoppers asked {traffic.total:,} times ({shares}); {failed} failed.")
            if failed:
                raise CommandError(f"{failed} of {traffic.total} requests failed: {dict(traffic.failures)}")
        self.stdout.write(f"The story took {total_s:.1f} s.")

    def _introduce(self, people: dict[Any, Any], shop: str) -> None:
        self.stdout.write(f"\nThe portal is open at {settings.PUBLIC_URL}/{shop}/")
        self.stdout.write(
            "The people of the shop, with a password made for this run and a link that signs in once:"
        )
        for role, who in people.items():
            self.stdout.write(f"  {role:<9} {who.user.username:<5} {who.password}  {who.sign_in_link()}")
