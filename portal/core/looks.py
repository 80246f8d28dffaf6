"""How a state looks: its word, its icon and its tone, the same on every page."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """A state is always word + icon + tint, never colour alone."""

    word: str
    icon: str  # a lucide name
    tone: str  # ok, warn, bad, busy, idle


LOOKS: dict[str, Look] = {
    # data
    "uploading": Look("uploading", "upload", "busy"),
    "checking": Look("checking", "scan-search", "busy"),
    "ready": Look("ready", "check", "ok"),
    # runs and jobs
    "queued": Look("queued", "clock", "idle"),
    "running": Look("running", "loader", "busy"),
    "succeeded": Look("succeeded", "check", "ok"),
    "failed": Look("failed", "x", "bad"),
    "canceling": Look("canceling", "loader", "warn"),
    "canceled": Look("canceled", "ban", "idle"),
    # promotions
    "open": Look("in review", "message-circle-question-mark", "busy"),
    "approved": Look("approved", "check", "ok"),
    "applied": Look("applied", "check-check", "ok"),
    "rejected": Look("rejected", "x", "bad"),
    "withdrawn": Look("withdrawn", "undo-2", "idle"),
    "superseded": Look("superseded", "replace", "idle"),
    "stale": Look("out of date", "history", "warn"),
    # rollouts and releases
    "pending": Look("pending", "clock", "idle"),
    "progressing": Look("progressing", "chevrons-right", "busy"),
    "paused": Look("paused", "pause", "warn"),
    "aborted": Look("aborted", "octagon-x", "warn"),
    "rolled_back": Look("rolled back", "undo-2", "warn"),
    "live": Look("live", "radio", "ok"),
    "canary": Look("canary", "bird", "busy"),
    "warm": Look("kept warm", "flame", "warn"),
    "retired": Look("retired", "archive", "idle"),
    "healthy": Look("healthy", "heart-pulse", "ok"),
    "unhealthy": Look("unhealthy", "heart-crack", "bad"),
    "starting": Look("starting", "loader", "busy"),
    "unknown": Look("not known", "circle-question-mark", "idle"),
    # alerts
    "firing": Look("firing", "bell-ring", "bad"),
    "acknowledged": Look("acknowledged", "bell-dot", "warn"),
    "resolved": Look("resolved", "check", "ok"),
    # gates and analyses
    "pass": Look("pass", "check", "ok"),
    "fail": Look("fail", "x", "bad"),
    "not_enough_data": Look("not enough data", "hourglass", "warn"),
    "inconclusive": Look("inconclusive", "scale", "warn"),
    # comparisons
    "better": Look("better", "trending-up", "ok"),
    "worse": Look("worse", "trending-down", "bad"),
    "no_difference": Look("no difference", "equal", "idle"),
    "baseline": Look("baseline", "minus", "idle"),
    # tokens and keys
    "active": Look("active", "check", "ok"),
    "expired": Look("expired", "clock-alert", "warn"),
    "revoked": Look("revoked", "ban", "bad"),
    # messages
    "success": Look("Done", "circle-check", "ok"),
    "info": Look("Note", "info", "busy"),
    "debug": Look("Note", "info", "idle"),
    "warning": Look("Careful", "triangle-alert", "warn"),
    "error": Look("Refused", "circle-alert", "bad"),
}

SPINNING = {"running", "canceling", "starting"}


def look_of(status: object) -> Look:
    """Find a state's look; an unknown one keeps its own word in a neutral tone."""
    known = LOOKS.get(str(status))
    return known or Look(str(status).replace("_", " "), "circle-dot", "idle")
