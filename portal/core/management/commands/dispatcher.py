"""Run the dispatcher: it wakes what is due and takes back what lost its worker."""

import logging
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections

from portal.core.dispatch import dispatch_once

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Wake due jobs and reconcile loops, and requeue those whose worker died."

    def handle(self, *args: Any, **options: Any) -> None:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        while not stopping.wait(settings.DISPATCH_INTERVAL_S):
            close_old_connections()  # after a database restart the old connection stays broken for ever
            try:
                dispatch_once()
            except DatabaseError as error:
                log.warning("dispatcher: the database did not answer: %s", error)
