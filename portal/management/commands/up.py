"""Start or stop the whole stack; `manage.py` itself calls the same code before there are settings."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from portal.stack import command


class Command(BaseCommand):
    """`manage.py up [--stop | --logs]`."""

    help = command.HELP
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        command.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        status = command.run(stop=options["stop"], logs=options["logs"])
        if status:
            raise SystemExit(status)
