"""Say whether this installation is set up right, and what to do where it is not."""

from typing import Any

from django.core.management.base import BaseCommand

from portal.setup_checks import CHECKS


class Command(BaseCommand):
    """`manage.py check_setup`: exit status 1 when anything has to be done."""

    help = "Check the database, broker, storage, gateway and settings of this installation."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        findings = [check() for check in CHECKS]
        for finding in findings:
            mark = "ok     " if finding.is_ok else "PROBLEM"
            self.stdout.write(f"{mark}  {finding.question:<15} {finding.answer}")
            if finding.remedy:
                self.stdout.write(f"         {'':<15} {finding.remedy}")
        if not all(finding.is_ok for finding in findings):
            raise SystemExit(1)
