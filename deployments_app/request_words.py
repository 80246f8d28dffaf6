"""A promotion request in words: what it says to somebody who decides on a phone. Pure: rows in, texts out."""

from collections.abc import Mapping, Sequence
from typing import Any

from deployments_app.models import Promotion
from portal.core import figures

METRICS = (
    ("ndcg@10", "NDCG@10"),
    ("recall@10", "Recall@10"),
    ("precision@10", "Precision@10"),
    ("hit_rate@10", "Hit rate@10"),
    ("coverage@10", "Coverage@10"),
)
Evidence = Mapping[str, Any]


def headline(promotion: Promotion) -> str:
    """Say how the request stands."""
    what, where = str(promotion.model_version).replace(" ", figures.SPACE), promotion.deployment.name
    attempts = [rollout.status for rollout in promotion.rollouts.all()]
    if promotion.status == "approved" and any(
        each in ("pending", "progressing", "paused") for each in attempts
    ):
        return f"{what} is on its way to {where}"
    if promotion.status == "approved":
        return f"{what} is approved for {where}" + (
            "; its rollout was stopped" if attempts else " and waits for its turn"
        )
    return {
        "open": f"Promote {what} to {where}",
        "applied": f"{what} went live at {where}",
        "rejected": f"{what} was rejected for {where}",
        "withdrawn": f"The request for {what} at {where} was withdrawn",
        "superseded": f"The request for {what} at {where} is out of date",
    }[promotion.status]


def main_verdict(verdicts: Mapping[str, Any]) -> tuple[str, Mapping[str, Any] | None]:
    """Pick the comparison that decides: with the live version, else with popularity; ("", None) if none."""
    for against in ("live", "popularity"):
        found = verdicts.get(against)
        if found and "difference" in found:
            return against, found
    return "", None


def outcome(verdicts: Mapping[str, Any]) -> str:
    """Name the verdict for its chip: better, worse, no_difference, not_enough_data."""
    _, found = main_verdict(verdicts)
    return str(found["verdict"]).replace(" ", "_") if found else "not_enough_data"


def verdict(evidence: Evidence) -> dict[str, str]:
    """Say in a sentence what would change for shoppers, with its interval."""
    verdicts = evidence.get("verdicts") or {}
    against, found = main_verdict(verdicts)
    has_live = evidence.get("champion") is not None
    unmeasured = (verdicts.get("live") or {}).get("why_not", "") if has_live else ""
    return {
        "lead": _lead(against, found, has_live),
        "rest": " ".join(_effects(evidence)),
        "more": " ".join(part for part in (_measured(against, found), unmeasured) if part),
        "outcome": outcome(verdicts),
    }


def _lead(against: str, found: Mapping[str, Any] | None, has_live: bool) -> str:
    if found is None:
        return "Nothing was measured that tells whether shoppers find more."
    other = {"live": "than today", "popularity": "than with best-sellers alone"}[against]
    if against == "popularity" and found.get("is_itself"):
        sentence = "This version is best-sellers alone: the baseline itself."
    elif found["verdict"] == "better":
        sentence = f"Shoppers should find what they want {amount(found)} better {other}."
    elif found["verdict"] == "worse":
        sentence = f"Shoppers would find what they want {amount(found)} worse {other}."
    else:
        thing = {"live": "what is live", "popularity": "best-sellers"}[against]
        seen = figures.counted(found["n_users"], "test shopper")
        sentence = f"No difference to {thing} that {seen} show{'s' * (found['n_users'] == 1)}."
    if against == "popularity" and has_live:
        return f"{sentence} How it compares with what is live is not known."
    return sentence


def amount(found: Mapping[str, Any], *, signed: bool = False) -> str:
    """Write a difference with half its interval: 8.4 % ± 3.1."""
    low, mid, high = (found.get(name) for name in ("relative_low", "relative", "relative_high"))
    if low is not None and mid is not None and high is not None:
        share = 100 * mid if signed else 100 * abs(mid)
        half = 50 * abs(high - low)
        return f"{figures.decimal(share, 1, signed=signed)}{figures.SPACE}% ±{figures.SPACE}{half:.1f}"
    value = found["difference"] if signed else abs(found["difference"])
    half = abs(found["high"] - found["low"]) / 2
    return f"{figures.decimal(value, 3, signed=signed)} ±{figures.SPACE}{half:.3f}"


def _measured(against: str, found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    interval = (
        f"{figures.decimal(found['low'], 4, signed=True)} to {figures.decimal(found['high'], 4, signed=True)}"
    )
    thing = {"live": "the live version", "popularity": "popularity"}[against]
    return (
        f"NDCG@10 against {thing} on {found['n_users']:,} test shoppers, 95 % interval of the difference "
        f"{interval}."
    )


def _effects(evidence: Evidence) -> list[str]:
    """Sentences on what else changes: lists, catalogue."""
    found = []
    changed = (evidence.get("shelves") or {}).get("changed_share")
    if changed is not None:
        found.append(f"{figures.percent(changed, 0)} of the products in their lists change.")
    new, old = (
        ((evidence.get(name) or {}).get("coverage@10") or {}).get("value")
        for name in ("metrics", "live_metrics")
    )
    if new is not None and old is not None and round(new, 2) != round(old, 2):
        way = "rises" if new > old else "falls"
        found.append(
            f"The share of the catalogue that gets shown {way} from {figures.percent(old, 0)} "
            f"to {figures.percent(new, 0)}."
        )
    elif new is not None:
        found.append(f"{figures.percent(new, 0)} of the catalogue gets shown.")
    return found


def gate_lines(
    gates: Sequence[Mapping[str, Any]], verdicts: Mapping[str, Any], blocking: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Write the gates as the list on the page takes them."""
    return [
        {
            "label": gate["label"],
            "outcome": gate["verdict"],
            "value": _gate_value(gate, verdicts),
            "need": gate["sentence"],
            "blocking": gate["name"] in blocking,
        }
        for gate in gates
    ]


def _gate_value(gate: Mapping[str, Any], verdicts: Mapping[str, Any]) -> str:
    against = {"beats_popularity": "popularity", "not_worse_than_live": "live"}.get(gate["name"])
    if against is not None:
        found = verdicts.get(against)
        return amount(found, signed=True) if found and "difference" in found else ""
    value = gate["value"]
    return {
        "share": lambda: figures.percent(value, 0),
        "bytes": lambda: figures.size(value),
        "shoppers": lambda: figures.whole(value),
    }.get(gate["unit"], lambda: "")()


def gates_summary(gates: Sequence[Mapping[str, Any]]) -> str:
    """Count outcomes: "5 pass · 1 fails"."""
    counts = [(sum(gate["verdict"] == name for gate in gates), name) for name in ("pass", "fail")]
    words = {"pass": "pass", "fail": "fail"}
    parts = [
        f"{count} {words[name]}{'' if count > 1 else 'es' if name == 'pass' else 's'}"
        for count, name in counts
        if count
    ]
    unknown = len(gates) - sum(count for count, _ in counts)
    if unknown:
        parts.append(f"{unknown} not known")
    return " · ".join(parts)


def shelves(shopper: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One sample shopper's shelves: what they chose, what they see now, what they would see."""
    found = [
        {
            "title": "Chosen lately",
            "arm": "",
            "items": [_item(line, rank=None) for line in shopper["history"][:5]],
            "aside": f"{figures.whole(shopper['history_size'])} choices in all",
        }
    ]
    if shopper["live"]:
        items = [_item(line, move="lost" if line["is_lost"] else "") for line in shopper["live"][:10]]
        found.append({"title": "Live now", "arm": "stable", "items": items, "aside": ""})
    news = [_item(line, move=line["change"] or "", moved=line["moved"]) for line in shopper["new"][:10]]
    found.append({"title": "With this version", "arm": "accent", "items": news, "aside": _moves(shopper)})
    return [shelf for shelf in found if shelf["items"]]


def _item(
    line: Mapping[str, Any], *, rank: Any = ..., move: str = "", moved: int | None = None
) -> dict[str, Any]:
    return {
        "title": line["title"],
        "item_id": line["item_id"],
        "kind": line["category"],
        "price": "",
        "rank": line["rank"] if rank is ... else rank,
        "why": line.get("reason"),  # requests of earlier programs have none
        "move": move,
        "was": line["rank"] + moved if moved else None,
    }


def _moves(shopper: Mapping[str, Any]) -> str:
    if not shopper["live"]:
        return ""
    new = sum(line["change"] == "new" for line in shopper["new"][:10])
    return f"{new} of {len(shopper['new'][:10])} new" if new else "the same products"


def metric_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """The main metrics, new beside live."""
    new, old = evidence.get("metrics") or {}, evidence.get("live_metrics") or {}
    return [
        {"title": title, "new": new[name], "old": old.get(name)} for name, title in METRICS if new.get(name)
    ]


def discussion(promotion: Promotion) -> list[dict[str, Any]]:
    """What people said, newest first, the request's own words last."""
    looks = {
        "approve": ("approved", "check", "ok"),
        "reject": ("rejected", "x", "bad"),
        "comment": ("wrote", "message-circle", "idle"),
    }
    found = []
    for review in promotion.reviews.all():
        word, icon, tone = looks[review.verdict]
        said = {"who": review.reviewer.label, "text": word, "reason": review.comment}
        found.append({**said, "at": review.created_at, "icon": icon, "tone": tone})
    found.reverse()
    asked = {"who": promotion.requested_by.label, "text": "asked for it", "reason": promotion.comment}
    return [*found, {**asked, "at": promotion.created_at, "icon": "badge-check", "tone": "busy"}]
