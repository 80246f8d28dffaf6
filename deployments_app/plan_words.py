"""A plan in words: its steps with shares, dates and shoppers, and when it stops. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from deployments_app.plan_rules import DEFAULT_PLAN, Checks, Plan, Servers, Step, read_plan
from portal.core import figures

STRATEGY_WORDS = {
    "canary": "Canary",
    "blue_green": "Blue-green",
    "shadow": "Shadow first",
    "ab": "A/B test",
}


def plan_steps(
    plan: Mapping[str, Any] | Plan, shoppers: int | None = None, start: datetime | None = None
) -> list[dict[str, Any]]:
    """The steps of a plan: shares, how many known shoppers that is, how long they are held.

    start: when the first step would begin; each step then says when it begins at the earliest, as long as
    no person has to end one before it.
    """
    read = _read(plan)
    found, begins = [], start
    for step in read.steps:
        found.append(
            {
                "label": step_label(step, read.strategy),
                "note": about_shoppers(shoppers, step.weight_pct) if step.weight_pct else _unseen(step),
                "note2": _terms(step, read.strategy),
                "state": "",
                "weight_pct": step.weight_pct,
                "mirror_pct": step.mirror_pct,
                "shoppers": round(shoppers * step.weight_pct / 100) if shoppers else None,
                "begins_at": begins,
            }
        )
        is_open = step.ends_by == "person"
        begins = None if begins is None or is_open else begins + timedelta(seconds=step.hold_s)
    return found


def step_label(step: Step, strategy: str) -> str:
    """Name a step by what shoppers see of it."""
    if step.mirror_pct:
        return "Shadow"
    if not step.weight_pct:
        return "Preview"
    share = "Everyone" if step.weight_pct == 100 else f"{step.weight_pct}{figures.SPACE}%"
    if strategy == "ab":
        return "The one that stays" if step.weight_pct == 100 else f"A/B, {share}"
    return share


def plan_sentence(plan: Mapping[str, Any] | Plan) -> str:
    """Write a plan on one line: 10 % for 10 min → 50 % for 10 min → everyone."""
    read = _read(plan)
    return " → ".join(_on_one_line(step, read.strategy) for step in read.steps)


def stop_rule(plan: Mapping[str, Any]) -> str:
    """Say when a rollout stops by itself."""
    checks = _read(plan).checks
    return (
        f"It stops by itself, and everybody gets the live release again, when more than "
        f"{100 * checks.max_error_ratio:g}{figures.SPACE}% of its answers are errors, its p95 passes "
        f"{checks.p95_ratio:g} × the live release’s, or clearly more lists are empty or best-sellers only. "
        + _business_rule(checks)
    )


def _business_rule(checks: Checks) -> str:
    """Say how much of what shoppers do may be lost."""
    losses = (("click rate", checks.max_ctr_loss), ("conversion", checks.max_conversion_loss))
    judged = [f"{100 * loss:g}{figures.SPACE}% of the {what}" for what, loss in losses if loss < 1]
    if not judged:
        return "Clicks and purchases are not judged."
    return (
        "Where the shop sends what shoppers did, it also stops when clearly more than "
        f"{' or '.join(judged)} is lost."
    )


def about_servers(plan: Mapping[str, Any]) -> str:
    """Say how many servers a release gets and what each may use; empty when it is one as usual."""
    servers = _read(plan).servers
    if servers == Servers():
        return ""
    limits = [f"{servers.memory_mb:,}{figures.SPACE}MB"] if servers.memory_mb else []
    limits += [f"{servers.cpu_s:,}{figures.SPACE}s of processor time"] if servers.cpu_s else []
    count = "One server" if servers.replicas == 1 else f"{servers.replicas} servers, each"
    if servers.max_replicas > servers.replicas:
        count = f"{servers.replicas} to {servers.max_replicas} servers by load, each"
    return count + (f" with at most {' and '.join(limits)}." if limits else " as usual.")


def kind_of_plan(plan: Mapping[str, Any]) -> str:
    """Name a plan in two words, for the head of its card."""
    read = _read(plan)
    if read.strategy == "canary" and len(read.steps) == 1:
        return "at once"
    return STRATEGY_WORDS[read.strategy].lower().replace("a/b", "A/B")


def about_shoppers(known: int | None, weight_pct: float) -> str:
    """Say how many of the known shoppers a share is; empty when nobody is known."""
    if not known:
        return ""
    if weight_pct == 100:
        return "the one known shopper" if known == 1 else f"all {figures.counted(known, 'known shopper')}"
    return f"about {figures.counted(round(known * weight_pct / 100), 'shopper')}"


def _read(plan: Mapping[str, Any] | Plan) -> Plan:
    return plan if isinstance(plan, Plan) else read_plan(plan or DEFAULT_PLAN.to_json())


def _unseen(step: Step) -> str:
    if step.mirror_pct:
        return f"copies of {step.mirror_pct}{figures.SPACE}% of requests; nobody sees its answers"
    return "no shopper; at its preview address"


def _terms(step: Step, strategy: str) -> str:
    """Say what ends a step."""
    held = f"at least {figures.duration(step.hold_s)}" if step.hold_s else ""
    sample = f"{figures.counted(step.min_answers, 'answer')} an arm" if step.min_answers else ""
    person = ("a person concludes" if strategy == "ab" else "a person goes on") * (step.ends_by == "person")
    return ", ".join(part for part in (held, sample, person) if part)


def _on_one_line(step: Step, strategy: str) -> str:
    label = step_label(step, strategy)
    label = label if label.startswith("A/B") else label.lower()
    held = f" for {figures.duration(step.hold_s)}" if step.hold_s else ""
    return label + (" until a person decides" if step.ends_by == "person" else held)
