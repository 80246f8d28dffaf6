"""Print one-time links that sign people in: for new people, or those who lost the password."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.core.models import User
from portal.sign_in_urls import one_time_link


class Command(BaseCommand):
    help = "Print a one-time sign-in link for each name, valid for a day or until the person signs in."
    requires_system_checks: list[str] = []  # they load every page, which takes longer than the work

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", nargs="+")

    def handle(self, *args: Any, **options: Any) -> None:
        for name in options["username"]:
            user = User.objects.filter(username=name, is_active=True).first()
            if user is None:
                raise CommandError(f"Nobody signs in as {name}.")
            self.stdout.write(one_time_link(user))
