"""Run the gateway's agent: it writes Envoy's files and reports what runs."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from deployments_app.agent import run_until_signalled
from deployments_app.agent_config import read_config
from deployments_app.agent_files import FolderTaken
from portal.settings import setting


class Command(BaseCommand):
    """`manage.py agent`."""

    help = "Keep the gateway's Envoy on the portal's routes, and report what it does."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            config = read_config(lambda name: setting(name, ""), settings.HOME)
            run_until_signalled(config)
        except (ValueError, FolderTaken) as error:
            raise CommandError(str(error)) from error
