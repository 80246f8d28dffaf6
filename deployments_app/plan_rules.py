"""What a rollout plan is: a strategy, steps, patience and limits. Plain data in, plain data out."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from deployments_app.plan_shapes import ENDED_BY, STRATEGIES, misfits
from portal.core.errors import InvalidInput

MAX_STEPS = 10
MAX_HOLD_S = 14 * 86_400
MAX_WATCH_S = 86_400
MAX_ANSWERS = 10_000_000
MAX_REPLICAS = 20
TARGET_PCT = (10, 100)
MEMORY_MB = (256, 1_000_000)
CPU_S = (60, 10_000_000)


@dataclass(frozen=True)
class Step:
    """A share of shoppers, how long it is held at least, and how many answers each arm needs by then.

    mirror_pct: share of requests that the new release gets a copy of; nobody sees its answers.
    ends_by: plan (when time, answers and checks allow it) or person (it stays until somebody decides).
    """

    weight_pct: int
    hold_s: float = 0
    min_answers: int = 0
    mirror_pct: int = 0
    ends_by: str = "plan"

    @property
    def is_measured(self) -> bool:
        """Tell whether the new release answers anybody at this step."""
        return self.weight_pct > 0 or self.mirror_pct > 0

    @property
    def is_judged(self) -> bool:
        """Tell whether the step waits for a verdict; a last step without hold or sample does not."""
        return self.is_measured and (self.weight_pct < 100 or self.hold_s > 0 or self.min_answers > 0)


@dataclass(frozen=True)
class Checks:
    """What a new release may do at most.

    max_error_ratio: share of its first attempts that end in a 5xx.
    p95_ratio: its p95 as a multiple of the live release's.
    empty_ratio, fallback_ratio: how much larger its share of empty lists, or of best-sellers instead of
    a shopper's own list, may be than the live release's.
    max_ctr_loss, max_conversion_loss: the share of the live release's click rate and conversion that may be
    lost, where the shop sends what shoppers did; 1 leaves it out.
    min_overlap: share of items that a shadow's lists must have in common with the live release's.
    """

    max_error_ratio: float = 0.01
    p95_ratio: float = 1.5
    empty_ratio: float = 0.05
    fallback_ratio: float = 0.05
    max_ctr_loss: float = 0.4
    max_conversion_loss: float = 0.5
    min_overlap: float = 0.0


@dataclass(frozen=True)
class Servers:
    """How many servers the release gets, and what each of them may use.

    memory_mb: beside the model's own files; 0 is what the place where they run gives.
    cpu_s: seconds of processor time, after which a server is replaced; 0 sets no limit.
    max_replicas: in a cluster, up to how many there may be under load; 0 leaves it at `replicas`.
    target_pct: of the processor time that they ask for, what they use on average before there are more.
    """

    replicas: int = 1
    memory_mb: int = 0
    cpu_s: int = 0
    max_replicas: int = 0
    target_pct: int = 70


@dataclass(frozen=True)
class Plan:
    """The whole way to 100 %.

    strategy: which shape the steps have; see `plan_shapes`.
    watch_s: how long after everybody has it the checks go on; then one failure rolls it back by itself.
    max_wait_s: how long a step waits for data or a verdict beyond its hold before it pauses.
    ready_within_s: how long servers may take to become ready, and be away later, before it is given up.
    """

    steps: tuple[Step, ...]
    strategy: str = "canary"
    max_wait_s: float = 86_400
    ready_within_s: float = 120
    watch_s: float = 1800
    checks: Checks = field(default_factory=Checks)
    servers: Servers = field(default_factory=Servers)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "steps": [asdict(step) for step in self.steps]}


AT_ONCE = Plan(steps=(Step(100),))
DEFAULT_PLAN = Plan(steps=(Step(10, 600, 100), Step(50, 600, 100), Step(100)))


def read_plan(data: Any) -> Plan:
    """Read and check a plan; raises InvalidInput with a pointer to every wrong place."""
    problems: list[dict[str, str]] = []
    own = _object(data, "", {each.name for each in fields(Plan)}, problems)
    steps = own.get("steps")
    if not isinstance(steps, list) or not 1 <= len(steps) <= MAX_STEPS:
        _refuse(problems, "/steps", f"A plan has 1 to {MAX_STEPS} steps.")
        steps = []
    read_steps = tuple(_step(each, f"/steps/{index}", problems) for index, each in enumerate(steps))
    strategy = _one_of(own, "strategy", "", STRATEGIES, problems)
    if not problems:
        for pointer, detail in misfits(strategy, read_steps):
            _refuse(problems, pointer, detail)
    checks = _object(own.get("checks", {}), "/checks", {each.name for each in fields(Checks)}, problems)
    plan = Plan(
        steps=read_steps,
        strategy=strategy,
        max_wait_s=_number(own, "max_wait_s", "", Plan.max_wait_s, (0, MAX_HOLD_S), problems),
        ready_within_s=_number(own, "ready_within_s", "", Plan.ready_within_s, (1, 3600), problems),
        watch_s=_number(own, "watch_s", "", Plan.watch_s, (0, MAX_WATCH_S), problems),
        checks=Checks(
            max_error_ratio=_number(
                checks, "max_error_ratio", "/checks", Checks.max_error_ratio, (0, 1), problems
            ),
            p95_ratio=_number(checks, "p95_ratio", "/checks", Checks.p95_ratio, (1, 100), problems),
            empty_ratio=_number(checks, "empty_ratio", "/checks", Checks.empty_ratio, (0, 1), problems),
            fallback_ratio=_number(
                checks, "fallback_ratio", "/checks", Checks.fallback_ratio, (0, 1), problems
            ),
            max_ctr_loss=_number(checks, "max_ctr_loss", "/checks", Checks.max_ctr_loss, (0.01, 1), problems),
            max_conversion_loss=_number(
                checks, "max_conversion_loss", "/checks", Checks.max_conversion_loss, (0.01, 1), problems
            ),
            min_overlap=_number(checks, "min_overlap", "/checks", Checks.min_overlap, (0, 1), problems),
        ),
        servers=_servers(own.get("servers", {}), problems),
    )
    if problems:
        sentence = "; ".join(f"{each['pointer'] or '/'}: {each['detail']}" for each in problems[:3])
        raise InvalidInput(f"The plan is not right. {sentence}", code="invalid_plan", errors=problems)
    return plan


def validate_plan(data: Any) -> dict[str, Any]:
    """Check a plan and return it complete, with every default written out."""
    return read_plan(data).to_json()


def _step(data: Any, where: str, problems: list[dict[str, str]]) -> Step:
    own = _object(data, where, {each.name for each in fields(Step)}, problems)
    return Step(
        weight_pct=int(_number(own, "weight_pct", where, None, (0, 100), problems, whole=True)),
        hold_s=_number(own, "hold_s", where, 0, (0, MAX_HOLD_S), problems),
        min_answers=int(_number(own, "min_answers", where, 0, (0, MAX_ANSWERS), problems, whole=True)),
        mirror_pct=int(_number(own, "mirror_pct", where, 0, (0, 100), problems, whole=True)),
        ends_by=_one_of(own, "ends_by", where, ENDED_BY, problems),
    )


def _servers(data: Any, problems: list[dict[str, str]]) -> Servers:
    own, where = _object(data, "/servers", {each.name for each in fields(Servers)}, problems), "/servers"
    replicas = _number(own, "replicas", where, Servers.replicas, (1, MAX_REPLICAS), problems, whole=True)
    memory_mb, cpu_s, most = (
        0 if own.get(name, 0) == 0 else _number(own, name, where, None, bounds, problems, whole=True)
        for name, bounds in (
            ("memory_mb", MEMORY_MB),
            ("cpu_s", CPU_S),
            ("max_replicas", (int(replicas), MAX_REPLICAS)),
        )
    )
    target = _number(own, "target_pct", where, Servers.target_pct, TARGET_PCT, problems, whole=True)
    return Servers(int(replicas), int(memory_mb), int(cpu_s), int(most), int(target))


def _object(data: Any, where: str, known: set[str], problems: list[dict[str, str]]) -> dict[str, Any]:
    if not isinstance(data, dict):
        _refuse(problems, where, "This must be an object.")
        return {}
    for name in sorted(set(map(str, data)) - known):
        _refuse(problems, f"{where}/{name[:80]}", f"Unknown name. Known are: {', '.join(sorted(known))}.")
    return data


def _one_of(
    own: dict[str, Any], name: str, where: str, known: tuple[str, ...], problems: list[dict[str, str]]
) -> str:
    """Read one of a few words; the first is meant where nothing is said."""
    value = own.get(name, known[0])
    if value not in known:
        _refuse(problems, f"{where}/{name}", f"This must be one of: {', '.join(known)}.")
        return known[0]
    return str(value)


def _number(
    own: dict[str, Any],
    name: str,
    where: str,
    default: float | None,
    bounds: tuple[float, float],
    problems: list[dict[str, str]],
    *,
    whole: bool = False,
) -> float:
    low, high = bounds
    value: Any = own.get(name, default)
    right = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not right or not low <= value <= high:
        kind = "whole number" if whole else "number"
        _refuse(problems, f"{where}/{name}", f"This must be a {kind} from {low:g} to {high:g}.")
        return low
    return float(value) if not whole else value


def _refuse(problems: list[dict[str, str]], pointer: str, detail: str) -> None:
    problems.append({"pointer": pointer, "code": "invalid", "detail": detail})
