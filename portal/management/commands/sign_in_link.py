"""Print one-time links that sign people in: for new people, or those who lost the password."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from portal.core.models import User
from portal.core.people import sign_in_links


class Command(BaseCommand):
    help = "Print a one-time sign-in link for each name, valid for a day or until the person signs in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", nargs="+")

    def handle(self, *args: Any, **options: Any) -> None:
        for name in options["username"]:
            user = User.objects.filter(username=name, is_active=True).first()
            if user is None:
                raise CommandError(f"Nobody signs in as {name}.")
            path = reverse("sign_in_by_link", args=[user.pk, sign_in_links.make_token(user)])
            self.stdout.write(settings.PUBLIC_URL + path)
