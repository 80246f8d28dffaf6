"""What an agent reports to the portal: which routes Envoy runs, what each arm answered, what was measured.

POSTed as JSON to `{PORTAL_URL}/gateway/v1/report` once a second and right after every change.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

from deployments_app.gateway_wire import (
    IDENTIFIER,
    WireError,
    parse_time,
    read_list,
    read_object,
    read_text,
    read_typed,
)


@dataclass(frozen=True)
class ArmReport:
    """Totals of one release as an arm, shoppers only; probes are left out.

    Totals count since `Report.counting_since`; take differences only between reports that share it.
    A request belongs to the arm it was assigned to, also when stable answered it in the end.
    """

    deployment_id: str
    release_id: str
    requests_total: int  # answered requests assigned to this arm
    errors_5xx_total: int  # first attempts that ended in a 5xx, also those that stable then answered
    retried_total: int  # first attempts that failed and were tried again
    active: int  # under way now
    latency_ms: tuple[tuple[float, int], ...]  # (upper bound, answers up to it), cumulative, whole request


@dataclass(frozen=True)
class WatchReport:
    """How long other releases went on answering after a rollback's click, as shoppers saw it.

    Times are milliseconds after `Watch.received_at`, on the portal's clock.
    """

    rollout_id: str
    last_other_answer_ms: float | None  # None: every probe was answered by the target already
    routes_running_ms: float | None  # when this Envoy ran the routes; None: not within the watch
    probes: int
    errors: int  # probes without a 200


@dataclass(frozen=True)
class Pairs:
    """Sums over shoppers for whom a shadow and stable were both asked, since `Report.counting_since`.

    asked: pairs; answered: those of which both answers were lists, which all but the errors are sums over.
    overlap: share of items in common; slower: the shadow's time minus stable's; score: mean of a list's.
    """

    rollout_id: str
    asked: int = 0
    answered: int = 0
    live_errors: int = 0
    new_errors: int = 0
    overlap: float = 0.0
    overlap_squared: float = 0.0
    live_ms: float = 0.0
    new_ms: float = 0.0
    slower_squared: float = 0.0
    live_score: float = 0.0
    live_score_squared: float = 0.0
    new_score: float = 0.0

    def plus(self, other: "Pairs") -> "Pairs":
        """Add another's sums."""
        return Pairs(
            self.rollout_id, **{name: getattr(self, name) + getattr(other, name) for name in PAIR_SUMS}
        )


PAIR_SUMS = tuple(each.name for each in fields(Pairs) if each.name != "rollout_id")
PAIR_COUNTS = frozenset(each.name for each in fields(Pairs) if each.type in (int, "int"))


@dataclass(frozen=True)
class Report:
    """One agent's words about its Envoy; `envoy_version_running` is None while Envoy does not answer."""

    agent_id: str
    environment: str
    at: str  # RFC 3339, the portal's clock as this agent reckons it
    counting_since: str  # changes when totals start again from zero (the agent was restarted)
    envoy_version_running: str | None
    envoy_started_at: str | None
    arms: tuple[ArmReport, ...] = ()
    watches: tuple[WatchReport, ...] = ()
    pairs: tuple[Pairs, ...] = ()
    problem: str = ""  # why the last routes are not in force, in words


def report_to_json(report: Report) -> dict[str, Any]:
    """Write a report for the wire."""
    return asdict(report)


def report_from_json(data: object) -> Report:
    """Read a report from the wire. Raises WireError naming the first member that is wrong."""
    own = read_object(data, "report")
    for name in ("at", "envoy_started_at"):
        if name == "at" or own.get(name) is not None:
            parse_time(read_text(own, name, "report"), f"report.{name}")
    running = own.get("envoy_version_running")
    return Report(
        agent_id=read_text(own, "agent_id", "report", IDENTIFIER),
        environment=read_text(own, "environment", "report", IDENTIFIER),
        at=read_text(own, "at", "report"),
        counting_since=read_text(own, "counting_since", "report", IDENTIFIER),
        envoy_version_running=None
        if running is None
        else read_text(own, "envoy_version_running", "report", IDENTIFIER),
        envoy_started_at=own.get("envoy_started_at"),
        arms=tuple(_arm(each, f"arms[{i}]") for i, each in enumerate(read_list(own, "arms", "report"))),
        watches=tuple(
            _watch(each, f"watches[{i}]") for i, each in enumerate(read_list(own, "watches", "report"))
        ),
        pairs=tuple(
            _pairs(each, f"pairs[{i}]")
            for i, each in enumerate(read_list({"pairs": [], **own}, "pairs", "report"))
        ),
        problem=read_text({"problem": "", **own}, "problem", "report")[:300],
    )


def _arm(data: object, where: str) -> ArmReport:
    own = read_object(data, where)
    latency = []
    for pair in read_list(own, "latency_ms", where):
        if not (isinstance(pair, list) and len(pair) == 2 and _is_number(pair[0]) and _is_count(pair[1])):
            raise WireError(f"{where}.latency_ms: not pairs of upper bound and count")
        latency.append((float(pair[0]), int(pair[1])))
    return ArmReport(
        deployment_id=read_text(own, "deployment_id", where, IDENTIFIER),
        release_id=read_text(own, "release_id", where, IDENTIFIER),
        requests_total=_count(own, "requests_total", where),
        errors_5xx_total=_count(own, "errors_5xx_total", where),
        retried_total=_count(own, "retried_total", where),
        active=_count(own, "active", where),
        latency_ms=tuple(latency),
    )


def _watch(data: object, where: str) -> WatchReport:
    own = read_object(data, where)
    return WatchReport(
        rollout_id=read_text(own, "rollout_id", where, IDENTIFIER),
        last_other_answer_ms=_milliseconds(own, "last_other_answer_ms", where),
        routes_running_ms=_milliseconds(own, "routes_running_ms", where),
        probes=_count(own, "probes", where),
        errors=_count(own, "errors", where),
    )


def _pairs(data: object, where: str) -> Pairs:
    own = read_object(data, where)
    sums: dict[str, Any] = {}
    for name in PAIR_SUMS:
        if name in PAIR_COUNTS:
            sums[name] = _count(own, name, where)
        elif not _is_number(own.get(name)):
            raise WireError(f"{where}.{name}: not a number")
        else:
            sums[name] = float(own[name])
    return Pairs(read_text(own, "rollout_id", where, IDENTIFIER), **sums)


def _milliseconds(own: dict[str, Any], name: str, where: str) -> float | None:
    value = own.get(name)
    if value is not None and not _is_number(value):
        raise WireError(f"{where}.{name}: not a number")
    return None if value is None else float(value)


def _count(own: dict[str, Any], name: str, where: str) -> int:
    value: int = read_typed(own, name, int, where)
    if not _is_count(value):
        raise WireError(f"{where}.{name}: not a count")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
