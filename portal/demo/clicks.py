"""What the demo's shoppers click and buy: by the tastes that were planted in them, told over the API."""

import random
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import numpy as np

from engine.synthetic import SyntheticShop
from portal.demo.client import ApiError, Client

BATCH = 1000
EVERY_S = 0.5
EAGERNESS = 0.12  # chance that a shopper clicks his favourite when he sees it
BUYS = 0.15  # chance that he buys what he clicked


class Tastes:
    """How much each of some shoppers likes each item, from 0 to 1, as it was planted."""

    def __init__(self, shop: SyntheticShop, users: Sequence[str]) -> None:
        rows = {name: row for row, name in enumerate(shop.interactions.user_ids.to_list())}
        known = [name for name in users if name in rows]
        columns = np.arange(len(shop.interactions.item_ids), dtype=np.int32)
        self._items = {name: at for at, name in enumerate(shop.interactions.item_ids.to_list())}
        self._liking = {
            name: shop.liking(np.full(len(columns), rows[name], np.int32), columns) for name in known
        }

    def chance(self, user: str, item: str) -> float:
        """Chance of a click on an item that the shopper looks at."""
        liking, at = self._liking.get(user), self._items.get(item)
        return EAGERNESS * float(liking[at]) if liking is not None and at is not None else 0.0


class Clicks:
    """Looks at answers as a shopper would, and sends what he does in batches from a thread of its own."""

    def __init__(self, client: Client, tastes: Tastes) -> None:
        self._client = client
        self._tastes = tastes
        self._random = random.Random(11)  # noqa: S311  shoppers need no secret
        self._waiting: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.accepted = 0
        self.problem = ""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send what is left, then end."""
        self._stopping.set()
        self._thread.join(10)

    def look(self, user: str, answer: Mapping[str, Any]) -> None:
        """Read a list from the top, click the first item that appeals, and buy it now and then."""
        for item in answer["items"]:
            if self._random.random() < self._tastes.chance(user, item["item_id"]):
                kinds = ["recommendation-click"] + ["purchase-complete"] * (self._random.random() < BUYS)
                with self._lock:
                    self._waiting += [self._event(kind, user, answer, item) for kind in kinds]
                return

    def _event(
        self, kind: str, user: str, answer: Mapping[str, Any], item: Mapping[str, Any]
    ) -> dict[str, Any]:
        paid = {"value": item["price"], "currency": "EUR"} if kind == "purchase-complete" else {}
        return {
            "event_id": str(uuid4()),
            "type": kind,
            "user_id": user,
            "item_id": item["item_id"],
            "recommendation_id": answer["recommendation_id"],
            "position": item["rank"],
            "occurred_at": datetime.now(UTC).isoformat(),
            **paid,
        }

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            self._send()
        self._send()
        self._client.close()

    def _send(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        if not batch:
            return
        try:
            taken = self._client.post("events", batch)
        except (ApiError, OSError) as error:
            self.problem = str(error)
            return
        self.accepted += taken["accepted"]
        if taken["rejected"]:
            self.problem = str(taken["rejected"][0])
