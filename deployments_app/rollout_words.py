"""Placements and rollouts in words: who serves what, what happens next, what one press would do. Pure."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from deployments_app.models import AnalysisVerdict, Deployment, Rehearsal, Release, Rollout
from deployments_app.models.rollouts import ACTIVE
from deployments_app.plan_rules import read_plan
from deployments_app.plan_words import about_shoppers, plan_steps
from deployments_app.remedies import remedy
from deployments_app.selectors import RollbackTarget
from portal.core import figures
from portal.core.models import Event

# Verb -> icon and tone; every other event is a plain dot.
_LOOKS = {
    "rollout.started": ("play", "busy"),
    "rollout.progressing": ("chevrons-right", "busy"),
    "rollout.step_advanced": ("chevrons-right", "busy"),
    "rollout.resumed": ("play", "busy"),
    "rollout.paused": ("pause", "warn"),
    "rollout.succeeded": ("check", "ok"),
    "rollout.concluded": ("flag", "ok"),
    "rollout.failed": ("octagon-x", "bad"),
    "rollout.aborted": ("octagon-x", "warn"),
    "rollout.rolled_back": ("undo-2", "warn"),
    "rollout.explained": ("message-circle", "idle"),
}
_DID = {"rollout.started": "started it", "rollout.rolled_back": "rolled back"}
_STEP = re.compile(r"^(canary|preview|shadow|A/B) \(step \d+ of \d+\): ")  # the steps beside it say so


def placement_headline(deployment: Deployment) -> str:
    """Say who serves a placement."""
    stable, canary, where = deployment.stable, deployment.canary, deployment.name
    if canary is not None and stable is not None and not deployment.canary_weight_pct:
        return f"Release {stable.number} serves everybody at {where}; release {canary.number} waits unseen"
    if canary is not None and stable is not None:
        return f"Release {canary.number} serves {deployment.canary_weight_pct}{figures.SPACE}% of {where}"
    if stable is not None:
        return f"Release {stable.number} serves everybody at {where}"
    if canary is not None:
        return f"Release {canary.number} is about to serve {where}"
    return f"Nothing serves at {where} yet"


def arms(deployment: Deployment, shoppers: int | None = None) -> list[dict[str, Any]]:
    """Who gets which release, as the weights bar takes it."""
    stable, canary = deployment.stable, deployment.canary
    share = deployment.canary_weight_pct if canary is not None else 0
    found = []
    for release, role, pct in ((stable, "stable", 100 - share), (canary, deployment.canary_role, share)):
        if release is not None:
            pct = 100 if stable is None else pct
            unseen = role != "stable" and not pct
            name = f"{release.number} · {'live' if role == 'stable' else 'new'} · {release.model_version}"
            note = _unseen_note(deployment) if unseen else about_shoppers(shoppers, pct)
            found.append({"label": name, "role": role, "pct": pct, "note": note})
    return found


def _unseen_note(deployment: Deployment) -> str:
    if deployment.canary_mirror_pct:
        return f"copies of {deployment.canary_mirror_pct}{figures.SPACE}% of requests"
    return "at its preview address only"


def headline(rollout: Rollout, *, is_live: bool) -> str:
    """Say what a rollout does to shoppers; is_live: its release serves everybody now."""
    number, where = rollout.release.number, rollout.deployment.name
    was = rollout.from_release
    again = f"; release {was.number} serves everybody" if was is not None else ""
    if rollout.kind == "rollback":
        return {
            "pending": f"Rolling back to release {number}: its servers are starting",
            "progressing": f"Release {number} serves everybody at {where} again",
            "succeeded": f"Release {number} serves everybody at {where} again"
            if is_live
            else f"Rolled back to release {number} at {where}",
        }.get(rollout.status, f"The rollback to release {number} was stopped")
    if rollout.status in ("progressing", "paused") and (unusual := _unusual_headline(rollout)):
        return f"{unusual} (paused)" if rollout.status == "paused" else unusual
    return {
        "pending": f"Release {number} is getting ready for {where}",
        "progressing": f"Release {number} serves {rollout.weight_pct}{figures.SPACE}% of {where}",
        "paused": f"Release {number} is paused at {rollout.weight_pct}{figures.SPACE}% of {where}",
        "succeeded": f"Release {number} went live at {where}",
        "failed": f"Release {number} was stopped{again}",
        "aborted": f"Release {number} was called off{again}",
    }[rollout.status]


def troubles(*releases: Release | None) -> list[dict[str, str]]:
    """Say which releases' servers are not well, why, and what one that ended by itself said last."""
    found = []
    for release in releases:
        servers = getattr(release, "workload", None)
        if release is not None and servers is not None and servers.reason:
            title = f"Release {release.number}: {servers.ready} of {servers.replicas} servers ready"
            detail = f"{servers.reason[:1].upper()}{servers.reason[1:]}."
            found.append({"title": title, "detail": detail, "log": servers.log})
    return found


def _unusual_headline(rollout: Rollout) -> str:
    """Say what a step does that is no canary's; empty for one that is."""
    number, where, was = rollout.release.number, rollout.deployment.name, rollout.from_release
    plan = read_plan(rollout.plan)
    step = plan.steps[rollout.step]
    if step.mirror_pct:
        return f"Release {number} shadows release {was.number if was else '–'} at {where}"
    if not step.weight_pct:
        return f"Release {number} can be looked at; nobody at {where} sees it yet"
    if plan.strategy == "ab" and step.weight_pct < 100 and was is not None:
        return f"Releases {was.number} and {number} are tested side by side at {where}"
    return ""


def why(rollout: Rollout, now: datetime) -> str:
    """Why it is where it is, as a sentence."""
    left_s = _left_s(rollout, now)
    if (until := watched_until(rollout, now)) is not None:
        more = figures.duration(max(1, round((until - now).total_seconds())))
        return f"Watched for {more} more: if the checks fail, it is rolled back by itself, once."
    if rollout.status == "progressing" and left_s is not None and left_s > 0:
        return f"It is held for {figures.duration(max(1, round(left_s)))} more; then the checks decide."
    return _sentence(_STEP.sub("", rollout.reason.strip()))


def what_to_do(rollout: Rollout) -> str:
    """Say what helps a rollout that failed, or whose servers do not get ready; empty where nothing has to."""
    if rollout.status in ("succeeded", "aborted"):
        return ""
    found = remedy(rollout.reason, is_over=rollout.status == "failed")
    if not found and rollout.status == "failed":
        return "look at the checks below; then start it again from its request, or withdraw that."
    return found


def watched_until(rollout: Rollout, now: datetime) -> datetime | None:
    """Say until when a release that went live is watched; None when it is not, or not any more."""
    if rollout.kind != "promote" or rollout.status != "succeeded" or rollout.from_release_id is None:
        return None
    if rollout.finished_at is None:
        return None
    until = rollout.finished_at + timedelta(seconds=read_plan(rollout.plan).watch_s)
    return until if until > now else None


def held_share(rollout: Rollout, now: datetime) -> float | None:
    """Say how much of the present step's time is over, 0 to 1; None where no time runs."""
    if rollout.step_started_at is None or rollout.status != "progressing":
        return None
    step = read_plan(rollout.plan).steps[rollout.step]
    if not step.hold_s or step.ends_by == "person":
        return None
    return min(1.0, max(0.0, (now - rollout.step_started_at).total_seconds() / step.hold_s))


def way_out(rollout: Rollout, do: str) -> str:
    """Say what ending a rollout early does."""
    number = rollout.release.number
    if do == "promote":
        return f"Everybody gets release {number} now."
    if do == "conclude new":
        return f"The test ends; everybody gets release {number}."
    if do == "step":
        steps = read_plan(rollout.plan).steps
        share = steps[rollout.step + 1].weight_pct if rollout.step + 1 < len(steps) else 100
        who = "everybody" if share == 100 else f"{share}{figures.SPACE}% of shoppers"
        return f"Release {number} goes to {who} without waiting."
    if do == "pause":
        return "Shares stay as they are until somebody resumes."
    if do == "resume":
        return "The plan goes on from here."
    if rollout.from_release is not None:
        return f"It ends; everybody gets release {rollout.from_release.number} again."
    return "It ends; nothing serves then."


def steps(rollout: Rollout, now: datetime, shoppers: int | None = None) -> list[dict[str, Any]]:
    """The steps of a rollout with their state; the present one counts down."""
    found = plan_steps(rollout.plan, shoppers)
    for at, step in enumerate(found):
        if rollout.status == "succeeded" or (at < rollout.step and rollout.step_started_at):
            step["state"], step["note2"] = "done", ""
        elif at == rollout.step and rollout.step_started_at is not None:
            broken = rollout.status in ("failed", "aborted")
            step["state"] = "bad" if broken else "now"
            step["note2"] = "stopped here" if broken else _countdown(rollout, now)
    return found


def _countdown(rollout: Rollout, now: datetime) -> str:
    plan = read_plan(rollout.plan)
    if rollout.status != "paused" and plan.steps[rollout.step].ends_by == "person":
        return "until somebody concludes" if plan.strategy == "ab" else "until somebody goes on"
    left_s = _left_s(rollout, now)
    if rollout.status == "paused" or left_s is None:
        return "paused"
    return (
        f"{figures.duration(max(1, round(left_s)))} left"
        if left_s > 0
        else "time is over: waiting for the checks"
    )


def _left_s(rollout: Rollout, now: datetime) -> float | None:
    """Seconds until the present step has been held long enough; negative afterwards.

    None where no time runs: the step has not begun, or a person ends it.
    """
    if rollout.step_started_at is None:
        return None
    step = read_plan(rollout.plan).steps[rollout.step]
    if step.ends_by == "person":
        return None
    return step.hold_s - (now - rollout.step_started_at).total_seconds()


def check_lines(verdict: AnalysisVerdict | None) -> list[dict[str, Any]]:
    """The checks of a step as the list on the page takes them."""
    if verdict is None:
        return []
    return [
        {
            "label": check.get("label") or check.get("name", "").replace("_", " "),
            "outcome": check.get("verdict", "not_enough_data"),
            "value": _check_value(check),
            "need": _sentence(check.get("sentence", "")),
            "blocking": False,
        }
        for check in verdict.checks
    ]


def _check_value(check: Mapping[str, Any]) -> str:
    value, stable, unit = check.get("value"), check.get("stable"), check.get("unit", "")
    if value is None:
        return ""
    if check.get("name") == "answers":
        fewest = value if stable is None else min(value, stable)
        return f"{figures.whole(fewest)} / {figures.whole(check.get('threshold'))}"
    digits = 2 if unit == "%" else 1
    text = figures.decimal(value, digits)
    if stable is not None:
        text += f" / {figures.decimal(stable, digits)}"
    return f"{text}{figures.SPACE}{unit}" if unit else text


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".") if text else ""


def feed(events: Iterable[Event]) -> list[dict[str, Any]]:
    """What happened, in plain words."""
    found = []
    for event in events:
        icon, tone = _LOOKS.get(event.verb, ("dot", "idle"))
        text = event.reason or event.verb.rpartition(".")[2].replace("_", " ")
        text = _STEP.sub("", text)
        by_person = event.actor_kind != "system" and event.actor_label not in text
        if event.verb == "rollout.explained":
            line = {"text": "said why:", "reason": event.reason}
        else:
            line = {"text": _lower(text) if by_person else _sentence(text), "reason": ""}
            if by_person:
                line["text"] = f"{_DID.get(event.verb, 'did this')}: {line['text']}"
        found.append(
            {
                **line,
                "at": event.created_at,
                "who": event.actor_label if by_person or event.verb == "rollout.explained" else "",
                "icon": icon,
                "tone": tone,
            }
        )
    return found


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def took_ms(rollout: Rollout | Rehearsal) -> float | None:
    """Milliseconds from the click until no shopper got the other release and every gateway had the routes."""
    found = [rollout.measured.get(name) for name in ("last_other_answer_ms", "routes_running_ms")]
    known = [float(each) for each in found if each is not None]
    return max(known) if known and found[1] is not None else None


def measured_facts(rollout: Rollout) -> list[dict[str, Any]]:
    """A rollback's measured times as figures in a row."""
    told = rollout.measured
    gateways = len(told.get("gateways", {}))
    last, running = told.get("last_other_answer_ms"), told.get("routes_running_ms")
    return [
        {
            "label": "From the press to the last answer of the other release",
            "value": figures.duration(last / 1000) if last is not None else "none seen",
            "note": "by a prober at 50 requests a second with distinct shoppers",
        },
        {
            "label": "Until every gateway ran the new routes",
            "value": figures.duration(running / 1000) if running is not None else "–",
            "note": figures.counted(gateways, "gateway"),
        },
        {
            "label": "Failed answers meanwhile",
            "value": figures.whole(told.get("errors", 0)),
            "note": f"of {figures.counted(told.get('probes', 0), 'probe')}",
        },
    ]


def cannot_roll_back(deployment: Deployment, target: RollbackTarget) -> str | None:
    """Say why there is nothing to press, as the page's other buttons answer it."""
    stable, last_good = deployment.stable, deployment.last_good
    is_under_way = deployment.active_rollout_id is not None
    if target.release is not None or is_under_way or stable is None or last_good is None:
        return target.cannot
    return (
        f"Release {stable.number} is live since a rollback. To serve release {last_good.number} again, "
        "restore it from the history."
    )


def rollback_effect(
    deployment: Deployment, target: RollbackTarget, shoppers: int | None, last: Rollout | None
) -> str:
    """Say what one press of Roll back does, and how long it takes."""
    if target.release is None:
        return cannot_roll_back(deployment, target) or ""
    if target.leaves is not None and target.share_pct == 0:
        number = target.leaves.number
        return (
            f"Nobody sees release {number} yet. Rolling back ends this rollout; release "
            f"{target.release.number} stays."
        )
    who = about_shoppers(shoppers, target.share_pct) or f"{target.share_pct}{figures.SPACE}% of shoppers"
    who = "everybody" if target.share_pct == 100 else who
    if target.leaves is None or target.share_pct == 0:
        moves = f"Rolling back gives everybody release {target.release.number}"
    else:
        moves = (
            f"Rolling back moves {who} from release {target.leaves.number} to release {target.release.number}"
        )
    if not target.is_warm:
        return f"{moves}, as soon as its servers are loaded again."
    known = took_ms(last) if last is not None else None
    return f"{moves} at once" + (f"; last time it took {figures.duration(known / 1000)}." if known else ".")


def history_line(rollout: Any) -> dict[str, Any]:
    """One line of a placement's history."""
    began = rollout.received_at or rollout.created_at
    ended = rollout.finished_at
    return {
        "rollout": rollout,
        "outcome": "rolled_back" if _is_rolled_back(rollout) else rollout.status,
        "is_active": rollout.status in ACTIVE,
        "duration_s": (ended - began).total_seconds() if ended is not None else None,
        "took_ms": took_ms(rollout) if rollout.kind == "rollback" else None,
        "approved_by": ", ".join(rollout.release.approved_by),
        "by": rollout.created_by.label if rollout.created_by is not None else "Aisle",
    }


def _is_rolled_back(rollout: Rollout) -> bool:
    return rollout.kind == "rollback" and rollout.status == "succeeded"
