"""Asks a gateway in the cluster as one shopper."""

import json
import urllib.request
from typing import Any

from tests.shops import LiveShop


def ask(gateway: str, shop: LiveShop, user: str = "u1") -> Any:
    """Ask for a list; None when there is no answer."""
    url = f"{gateway}/{shop.slug}/home/recommendations?user={user}&k=5"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.loads(answer.read())
    except OSError:
        return None
