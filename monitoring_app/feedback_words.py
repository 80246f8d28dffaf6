"""What shoppers did, in words. Pure."""

from monitoring_app.business_checks import difference_in_words
from monitoring_app.intervals import newcombe
from monitoring_app.models import FeedbackWindow
from monitoring_app.selectors.feedback import Reaction
from portal.core import figures
from portal.core.snippets import curl

CLICK = (
    '[{"event_id": "click-1", "type": "recommendation-click", "user_id": "u42",'
    ' "item_id": "i3", "recommendation_id": "rec_…"}]'
)


def compare_arms(canary: Reaction, stable: Reaction) -> list[dict[str, str]]:
    """Say how clicks and purchases of the new release compare with the live one's, as far as any came."""
    n, other_n = canary.exposures, stable.exposures
    pairs = (
        ("clicks", (canary.clicks, n), (stable.clicks, other_n)),
        ("purchases", (canary.purchases, n), (stable.purchases, other_n)),
    )
    found = []
    for what, mine, theirs in pairs:
        if n and other_n and (mine[0] or theirs[0]):
            low, high = newcombe(*mine, *theirs)
            outcome = "better" if low > 0 else "worse" if high < 0 else "no_difference"
            word = {"better": "More", "worse": "Fewer"}.get(outcome, "No proven difference in")
            words = difference_in_words(mine, theirs)
            found.append({"outcome": outcome, "lead": f"{word} {what} than live", "rest": words})
            if outcome == "no_difference":
                found[-1]["lead"] = f"{word} {what}"
    return found


def interval_in_words(interval: tuple[float, float], digits: int) -> str:
    """Write the interval of a share: 7.1 to 7.4 %."""
    low, high = interval
    return f"{figures.decimal(100 * low, digits)} to {figures.percent(high, digits)}"


def window_in_words(window: FeedbackWindow) -> str:
    """Say how long after an answer a click or a purchase still counts for it."""
    return (
        f"A click counts for the list within {figures.duration(window.click_s)} after the answer, "
        f"a purchase within {figures.duration(window.purchase_s)}."
    )


def send_a_click() -> str:
    """Write the call that sends an event; it needs no Idempotency-Key, because the event has its id."""
    return curl("events", body=CLICK, repeatable=True)
