"""How long a rollback took, over all gateways. Pure."""

from typing import Any


def summarise(gateways: dict[str, Any]) -> dict[str, Any]:
    """Sum up what each gateway measured: the slowest counts, probes and errors add up.

    last_other_answer_ms: None when no probe saw another release's answer after the click.
    routes_running_ms: None until every gateway that spoke runs the new routes.
    """
    others = [each["last_other_answer_ms"] for each in gateways.values()]
    running = [each["routes_running_ms"] for each in gateways.values()]
    return {
        "gateways": gateways,
        "last_other_answer_ms": max((each for each in others if each is not None), default=None),
        "routes_running_ms": None if None in running else max(running, default=None),
        "probes": sum(each["probes"] for each in gateways.values()),
        "errors": sum(each["errors"] for each in gateways.values()),
    }
