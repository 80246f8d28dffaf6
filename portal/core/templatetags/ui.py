"""Template tags and filters of every page. A builtin: templates need no `{% load %}`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import lucide
from django import template
from django.forms import BoundField
from django.utils import timezone
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from portal.core import figures
from portal.core.chart_data import figure_json, figure_table
from portal.core.looks import SPINNING, look_of

register = template.Library()

# --- icons and states


@lru_cache(maxsize=512)
def _svg(name: str) -> str:
    return lucide._render_icon(name, None, **{"class": "i", "aria-hidden": "true", "focusable": "false"})


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """Draw a lucide icon. It is decoration, hidden from screen readers, unless a label says what it means."""
    drawn = mark_safe(_svg(str(name)))  # noqa: S308  from the installed package
    return format_html('{}<span class="visually-hidden">{}</span>', drawn, label) if label else drawn


@register.simple_tag
def status_pill(status: object, word: str = "", tone: str = "", icon: str = "") -> SafeString:
    """Draw a state as word + icon + tint; the keywords override its usual look."""
    look = look_of(status)
    spin = mark_safe(" data-spin") if str(status) in SPINNING and not icon else ""
    drawn = mark_safe(_svg(icon or look.icon))  # noqa: S308
    return format_html(
        '<span class="pill" data-tone="{}"{}>{}{}</span>', tone or look.tone, spin, drawn, word or look.word
    )


@register.filter
def tone(status: object) -> str:
    return look_of(status).tone


@register.filter
def status_icon(status: object) -> str:
    return look_of(status).icon


@register.filter
def status_word(status: object) -> str:
    return look_of(status).word


# --- numbers


@register.filter
def whole(value: object) -> str:
    return figures.whole(value)


@register.filter
def compact(value: object) -> str:
    return figures.compact(value)


@register.filter
def decimal(value: object, digits: int = 3) -> str:
    return figures.decimal(value, int(digits))


@register.filter
def signed(value: object, digits: int = 1) -> str:
    return figures.decimal(value, int(digits), signed=True)


@register.filter
def percent(value: object, digits: int = 1) -> str:
    """Write a ratio (0 to 1) as percent."""
    return figures.percent(value, int(digits))


@register.filter
def signed_percent(value: object, digits: int = 1) -> str:
    return figures.percent(value, int(digits), signed=True)


@register.filter
def with_interval(value: object, half: object) -> str:
    """Write an estimate and half its interval, three digits each."""
    return figures.with_interval(value, half)


@register.filter(name="bytes")
def bytes_filter(value: object) -> str:
    return figures.size(value)


@register.filter
def duration(seconds: object) -> str:
    return figures.duration(getattr(seconds, "total_seconds", lambda: seconds)())


@register.filter
def milliseconds(value: object) -> str:
    """Write a number of milliseconds: 7.1 ms, 1.2 s."""
    read = figures.number(value)
    return figures.duration(None if read is None else read / 1000)


@register.filter
def unlocal(value: object) -> str:
    """Write a number for an attribute: never grouped, always with a point."""
    read = figures.number(value)
    return "" if read is None else f"{read:.12g}"


# --- times: UTC from the server, the viewer's zone by times.js, UTC again on hover


def _time(moment: datetime, form: str, text: str) -> SafeString:
    exact = moment.astimezone(UTC)
    return format_html(
        '<time datetime="{}" data-time="{}" title="{}">{}</time>',
        exact.isoformat(),
        form,
        figures.utc(exact),
        text,
    )


@register.filter
def since(moment: datetime | None) -> SafeString | str:
    """Write how long ago it was; the exact time in UTC is the tooltip."""
    return _time(moment, "ago", figures.ago(moment, timezone.now())) if moment else figures.NOTHING


@register.filter
def clock(moment: datetime | None) -> SafeString | str:
    """Write the time of day: 10:31; with the date when it was another day."""
    if not moment:
        return figures.NOTHING
    moment, now = moment.astimezone(UTC), timezone.now()
    text = f"{moment:%H:%M}" if moment.date() == now.date() else f"{figures.day(moment, now)}, {moment:%H:%M}"
    return _time(moment, "clock", text)


@register.filter
def on_day(moment: datetime | None) -> SafeString | str:
    """Write the date: 9 Nov, 9 Nov 2024."""
    return _time(moment, "day", figures.day(moment, timezone.now())) if moment else figures.NOTHING


# --- frame


@register.simple_tag
def crumb(label: object, url: str = "") -> SafeString:
    """One step of the path at the top; without an address it is the page itself."""
    if url:
        return format_html('<li><a href="{}">{}</a></li>', url, label)
    return format_html('<li><span aria-current="page">{}</span></li>', label)


@register.filter
def initials(name: object) -> str:
    """Two letters for an avatar."""
    words = [word for word in str(name).replace("-", " ").split() if word[0].isalnum()]
    letters = [words[0][:2]] if len(words) == 1 else [words[0][0], words[-1][0]] if words else ["?"]
    return "".join(letters).upper()


@register.simple_tag
def query(**values: object) -> str:
    """Build `?a=1&b=2`, leaving out what is empty."""
    return "?" + urlencode({key: value for key, value in values.items() if value not in (None, "")})


@register.filter
def get(mapping: Any, key: object) -> Any:
    """Look up a key that is itself a variable; None when it is missing."""
    if isinstance(mapping, Mapping):
        return mapping.get(key)
    return None


# --- drawings without inline style: SVG attributes carry the sizes


@register.inclusion_tag("components/_weights.html")
def weights_bar(
    arms: Sequence[Mapping[str, Any]], name: str = "weights", slim: bool = False
) -> dict[str, Any]:
    """Draw who gets which release.

    An arm: label, role (stable, canary, shadow, baseline), pct (0 to 100), note.
    """
    at, drawn = 0.0, []
    for index, arm in enumerate(arms):
        pct = max(0.0, min(100.0, float(arm["pct"])))
        drawn.append({**arm, "pct": pct, "x": round(at, 3), "index": index, "gap": 0 < at < 100 and pct > 0})
        at += pct
    spoken = ", ".join(f"{arm['label']} serves {figures.percent(arm['pct'] / 100, 0)}" for arm in drawn)
    return {"arms": drawn, "name": name, "slim": slim, "spoken": spoken}


@register.inclusion_tag("components/_sparkline.html")
def sparkline(values: Sequence[float | None], label: str, arm: str = "accent") -> dict[str, Any]:
    """Draw a small line without axes; the label says in words what it shows."""
    known = [(at, read) for at, value in enumerate(values) if (read := figures.number(value)) is not None]
    if len(known) < 2:
        return {"points": "", "label": label}
    low, high = min(value for _, value in known), max(value for _, value in known)
    span, last = (high - low) or 1.0, max(1, len(values) - 1)
    places = [(round(120 * at / last, 1), round(29 - 26 * (value - low) / span, 1)) for at, value in known]
    if high == low:
        places = [(x, 16.0) for x, _ in places]
    return {
        "points": " ".join(f"{x},{y}" for x, y in places),
        "area": f"{places[0][0]},32 " + " ".join(f"{x},{y}" for x, y in places) + f" {places[-1][0]},32",
        "end": places[-1],
        "label": label,
        "arm": arm,
    }


@register.inclusion_tag("components/_chart.html")
def chart(
    figure: Mapping[str, Any],
    title: str,
    caption: str = "",
    *,
    name: str = "",
    size: str = "m",
    table: Mapping[str, Any] | None = None,
    heading: bool = True,
) -> dict[str, Any]:
    """Draw a Plotly figure whose colours are token names ("--stable", "--canary 18%").

    name: an id that stays the same when a poll refreshes the chart, so that it moves instead of flickering.
    size: s, m or l. table: {columns, rows} instead of what the traces say.
    heading: False when a card has the title.
    """
    return {
        "figure": figure_json(figure),
        "title": title,
        "caption": caption,
        "name": name,
        "size": size,
        "table": table or figure_table(figure),
        "heading": heading,
    }


# --- forms


@register.inclusion_tag("components/_field.html")
def field(
    bound: BoundField, *, label: str = "", help: str = "", optional: bool | None = None
) -> dict[str, Any]:
    """Draw a form field with its label, help and error tied to it for screen readers."""
    help_text = help or bound.help_text
    described = [f"{bound.id_for_label}_help"] if help_text else []
    attrs = dict(bound.field.widget.attrs)
    if bound.errors:
        described.insert(0, f"{bound.id_for_label}_error")
        attrs["aria-invalid"] = "true"
    if described:
        attrs["aria-describedby"] = " ".join(described)
    kind = getattr(bound.field.widget, "input_type", "")
    is_group = (
        bool(getattr(bound.field.widget, "allow_multiple_selected", False) and kind == "checkbox")
        or kind == "radio"
    )
    return {
        "field": bound,
        "control": "" if is_group or bound.is_hidden else bound.as_widget(attrs=attrs),
        "kind": "group"
        if is_group
        else "box"
        if kind == "checkbox"
        else "hidden"
        if bound.is_hidden
        else "plain",
        "label": label or conditional_escape(bound.label),
        "help": help_text,
        "optional": (not bound.field.required) if optional is None else optional,
        "described": " ".join(described),
    }
