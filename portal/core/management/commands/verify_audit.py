"""Check the audit chain: every event's hash, and that each names the one before it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

BROKEN = """
SELECT shop_id, seq, id FROM (
    SELECT e.*, core_event_digest(e) AS computed,
           coalesce(lag(e.hash) OVER chain, '') AS before,
           row_number() OVER chain AS place
    FROM core_event e WHERE e.seq IS NOT NULL
    WINDOW chain AS (PARTITION BY e.shop_id ORDER BY e.seq)
) checked
WHERE hash <> computed OR prev_hash <> before OR seq <> place
ORDER BY shop_id, seq
"""


class Command(BaseCommand):
    help = "Verify the audit chain; names every event that does not fit."

    def handle(self, *args: Any, **options: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(BROKEN)
            broken = cursor.fetchall()
            cursor.execute("SELECT count(*) FROM core_event")
            count = cursor.fetchone()[0]
        for shop, seq, event in broken:
            self.stderr.write(f"shop {shop}: event {event} at place {seq} does not fit the chain")
        if broken:
            raise CommandError(f"{len(broken)} of {count} events do not fit the chain.")
        self.stdout.write(f"{count} events, chain whole.")
