"""Open a shop with its first admin, and print the one-time link to sign in with."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from portal.core.actors import system
from portal.core.errors import PortalError
from portal.core.models import Role
from portal.core.people import add_person, open_shop
from portal.sign_in_urls import one_time_link


class Command(BaseCommand):
    help = "Open a shop: its environment, its first admin, and a one-time sign-in link."
    requires_system_checks: list[str] = []  # they load every page, which takes longer than the work

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="short name, as in addresses: nordic-attic")
        parser.add_argument("--name", required=True, help="the shop's name")
        parser.add_argument("--admin", required=True, help="the admin's name")
        parser.add_argument("--email", required=True, help="the admin's email")

    def handle(self, *args: Any, **options: Any) -> None:
        setup = system("setup")
        try:
            with transaction.atomic():
                shop = open_shop(slug=options["slug"], name=options["name"])
                username = options["email"].partition("@")[0]
                admin = add_person(
                    actor=setup,
                    shop=shop,
                    username=username,
                    name=options["admin"],
                    email=options["email"],
                    role=Role.ADMIN,
                )
        except PortalError as error:
            raise CommandError(error.detail) from error
        link = one_time_link(admin)
        self.stdout.write(f"{shop.name} is open. {admin.label} signs in once with:\n{link}")
