"""What a rollout does next. Pure: what was seen goes in, one decision comes out.

The statuses are few and the reasons many: `reason` says in words which phase a rollout is in. Missing
data never fails a rollout, it holds it, and at the plan's limit pauses it for a person to decide.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from deployments_app.plan_rules import Plan, Step
from portal.core import figures

CONFIRM_WITHIN_S = 30.0  # a gateway that has not said by then that it runs a rollback's routes is named


@dataclass(frozen=True)
class RolloutState:
    """What the rollout's row says."""

    kind: str  # promote, rollback
    status: str  # pending, progressing, paused
    step: int
    weight_pct: int
    plan: Plan
    release_number: int
    stable_number: int | None  # None: nothing serves yet
    started_at: datetime  # when a worker first looked at it
    step_started_at: datetime | None
    paused_by_person: bool = False


@dataclass(frozen=True)
class Verdict:
    """The newest verdict on the present step, from the stage that measures."""

    verdict: str  # pass, fail, inconclusive, not_enough_data
    sentence: str = ""
    canary_answers: int | None = None
    stable_answers: int | None = None


@dataclass(frozen=True)
class Observed:
    """What was just seen outside."""

    is_ready: bool
    reason: str = ""  # why it is not, in words
    not_ready_since: datetime | None = None
    verdict: Verdict | None = None
    gateways_running: int = 0  # live gateways that run the present routes
    gateways_waiting: tuple[str, ...] = ()  # live gateways that do not yet


@dataclass(frozen=True)
class Decision:
    """One idempotent act, and what the row shall say afterwards.

    act: wait (only the reason changes), shift (another weight), pause, finish, give_up (weight to 0).
    status: None leaves it as it is.
    """

    act: str
    reason: str
    status: str | None = None
    step: int | None = None
    weight_pct: int | None = None


def plan_next(rollout: RolloutState, observed: Observed, now: datetime) -> Decision:
    """Decide the next act of an active rollout."""
    if rollout.status == "pending":
        return _prepare(rollout, observed, now)
    if rollout.kind == "rollback":
        return _confirm(rollout, observed, now)
    verdict = observed.verdict
    if verdict is not None and verdict.verdict == "fail":
        return _give_up(rollout, verdict.sentence or "the checks failed")
    if not observed.is_ready:
        away_s = _seconds_since(observed.not_ready_since, now)
        if away_s >= rollout.plan.ready_within_s:
            return _give_up(rollout, f"no server ready for {_duration(away_s)}: {observed.reason}")
        return Decision("wait", f"held: release {rollout.release_number} is not ready: {observed.reason}")
    if rollout.status == "paused":
        return Decision("wait", "")
    return _judge(rollout, verdict, now)


def _prepare(rollout: RolloutState, observed: Observed, now: datetime) -> Decision:
    if observed.is_ready:
        if rollout.kind == "rollback":
            return Decision("shift", "", status="progressing", step=0, weight_pct=100)
        return _shift(rollout, 0, status="progressing")
    waited_s = _seconds_since(rollout.started_at, now)
    why = observed.reason or "the servers are starting"
    if waited_s >= rollout.plan.ready_within_s:
        return Decision("give_up", f"never ready: {why}", status="failed", weight_pct=0)
    return Decision("wait", f"preparing: {why}")


def _confirm(rollout: RolloutState, observed: Observed, now: datetime) -> Decision:
    """A rollback's weights are written already: wait until every gateway says so."""
    waited_s = _seconds_since(rollout.step_started_at, now)
    live = f"release {rollout.release_number} serves everybody"
    if not observed.is_ready:
        return Decision("wait", f"waiting for its servers: {observed.reason}")
    if observed.gateways_running and not observed.gateways_waiting:
        return Decision("finish", f"{live}: every gateway runs the new routes", status="succeeded")
    names = ", ".join(observed.gateways_waiting) or "any gateway"
    if waited_s >= CONFIRM_WITHIN_S:
        return Decision("finish", f"{live}; no word yet from {names}", status="succeeded")
    return Decision("wait", f"the routes are written; waiting for word from {names}")


def _judge(rollout: RolloutState, verdict: Verdict | None, now: datetime) -> Decision:
    step = rollout.plan.steps[rollout.step]
    held_s = _seconds_since(rollout.step_started_at, now)
    if step.ends_by == "person":
        return Decision("wait", f"{phase(rollout.plan, rollout.step)}: {_until_a_person(rollout, verdict)}")
    if held_s < step.hold_s:
        return Decision("wait", f"{phase(rollout.plan, rollout.step)}: holding until {_clock(rollout, step)}")
    if not step.is_judged:
        if step.weight_pct == 100:
            return _forward(rollout, f"release {rollout.release_number} serves everybody")
        return _forward(rollout, "the time to look at it is over")
    missing = _missing_answers(step, verdict)
    if verdict is None:
        why = "analysing: no verdict yet"
    elif verdict.verdict == "inconclusive":
        why = verdict.sentence or "the checks do not agree"
        return Decision("pause", f"inconclusive: {why}", status="paused")
    elif verdict.verdict == "pass" and not missing:
        return _forward(rollout, verdict.sentence or "all checks passed")
    else:
        why = missing if verdict.verdict == "pass" else verdict.sentence or missing or "not enough data"
    if held_s >= step.hold_s + rollout.plan.max_wait_s:
        waited = _duration(rollout.plan.max_wait_s)
        return Decision("pause", f"paused after waiting {waited} longer: {why}", status="paused")
    return Decision("wait", f"held: {why}")


def _until_a_person(rollout: RolloutState, verdict: Verdict | None) -> str:
    """Say what a step that a person ends waits for, and what the checks say meanwhile."""
    if rollout.plan.strategy == "ab":
        what = "open until somebody concludes which release is kept"
    elif rollout.plan.steps[rollout.step].is_measured:
        what = "waiting for somebody to take the next step"
    else:
        what = "waiting for somebody to look at it and promote it"
    so_far = {"pass": "all checks pass so far", "inconclusive": "the checks do not agree"}
    if verdict is None:
        return what
    return f"{what}; {verdict.sentence or so_far.get(verdict.verdict, 'not enough data yet')}"


def _forward(rollout: RolloutState, why: str) -> Decision:
    if rollout.step + 1 < len(rollout.plan.steps):
        return _shift(rollout, rollout.step + 1, because=why)
    return Decision("finish", why, status="succeeded", weight_pct=100)


def _shift(rollout: RolloutState, step: int, *, status: str | None = None, because: str = "") -> Decision:
    weight = rollout.plan.steps[step].weight_pct
    reason = because or f"release {rollout.release_number} is ready"
    return Decision("shift", reason, status=status, step=step, weight_pct=weight)


def _give_up(rollout: RolloutState, why: str) -> Decision:
    back = (
        "no release serves"
        if rollout.stable_number is None
        else f"release {rollout.stable_number} serves everybody again"
    )
    return Decision("give_up", f"{why}; {back}", status="failed", weight_pct=0)


def _missing_answers(step: Step, verdict: Verdict | None) -> str:
    """Say how many answers an arm still lacks, or nothing."""
    if verdict is None:
        return ""
    arms = [("the new release", verdict.canary_answers)]
    if step.weight_pct < 100:
        arms.append(("the live release", verdict.stable_answers))
    for name, answers in arms:
        if answers is not None and answers < step.min_answers:
            return f"needs {figures.counted(step.min_answers - answers, 'more answer')} from {name}"
    return ""


def phase(plan: Plan, at: int) -> str:
    """Name the phase of a step: canary (step 2 of 3)."""
    step = plan.steps[at]
    if step.mirror_pct:
        name = "shadow"
    elif not step.weight_pct:
        name = "preview"
    else:
        name = "A/B" if plan.strategy == "ab" else "canary"
    return f"{name} (step {at + 1} of {len(plan.steps)})"


def _clock(rollout: RolloutState, step: Step) -> str:
    started = rollout.step_started_at
    return f"{started + timedelta(seconds=step.hold_s):%H:%M:%S} UTC" if started else "it starts"


def _seconds_since(moment: datetime | None, now: datetime) -> float:
    return (now - moment).total_seconds() if moment is not None else 0.0


def _duration(seconds: float) -> str:
    for size, word in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return figures.counted(round(seconds / size), word)
    return figures.counted(round(seconds), "second")
