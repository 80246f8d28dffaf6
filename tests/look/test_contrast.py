"""Every pair of colours that meets on a page, in both themes: text 4.5 : 1, controls and marks 3 : 1."""

import re
from pathlib import Path

import pytest

CSS = Path(__file__).resolve().parents[2] / "static" / "css"
TOKENS = (CSS / "tokens.css").read_text()

GROUNDS = ["paper", "surface", "raised", "sunken", "hover"]
TEXT = [
    *[(ink, ground) for ground in GROUNDS for ink in ("ink", "ink-muted", "accent", "accent-hover")],
    *[(f"{tone}-ink", f"{tone}-bg") for tone in ("ok", "warn", "bad", "busy", "idle")],
    *[(ink, f"{tone}-bg") for tone in ("ok", "warn", "bad", "busy", "idle") for ink in ("ink", "ink-muted")],
    *[(f"{tone}-ink", ground) for tone in ("ok", "warn", "bad", "busy") for ground in ("paper", "surface")],
    *[(ink, "accent-soft") for ink in ("accent", "ink", "ink-muted")],
    *[("accent-ink", ground) for ground in ("accent", "accent-hover")],
    *[("danger-ink", ground) for ground in ("danger", "danger-hover")],
    *[(f"{arm}-ink", arm) for arm in ("stable", "canary", "shadow-arm", "baseline")],
]
MARKS = [
    *[("line-strong", ground) for ground in ("paper", "surface", "raised", "sunken")],
    *[
        (name, "surface")
        for name in ("stable", "canary-line", "shadow-arm-line", "baseline", "accent", "danger", "busy-ink")
    ],
    *[(f"series-{number}", "surface") for number in range(1, 7)],
]


def colours(theme: int) -> dict[str, str]:
    """Read each token's colour: 0 is light, 1 is dark."""
    found = {}
    for name, value in re.findall(r"--([\w-]+):\s*([^;]+);", TOKENS):
        pair = re.fullmatch(r"light-dark\((#\w{6}), (#\w{6})\)", value.strip())
        if pair:
            found[name] = pair[theme + 1]
        elif re.fullmatch(r"#\w{6}", value.strip()):
            found[name] = value.strip()
    return found


def contrast(one: str, other: str) -> float:
    """Compute the ratio of WCAG 2.2."""
    lights = sorted((luminance(one), luminance(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_measure_of_contrast_is_the_known_one() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), TEXT)
def test_text_can_be_read(ink: str, ground: str, theme: int) -> None:
    known = colours(theme)
    assert contrast(known[ink], known[ground]) >= 4.5, (known[ink], known[ground])


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("mark", "ground"), MARKS)
def test_controls_and_lines_of_charts_can_be_seen(mark: str, ground: str, theme: int) -> None:
    known = colours(theme)
    assert contrast(known[mark], known[ground]) >= 3, (known[mark], known[ground])


def test_styles_name_only_tokens_that_exist() -> None:
    sheets = "".join(sheet.read_text() for sheet in CSS.glob("*.css"))
    named = set(re.findall(r"var\(--([\w-]+)", sheets))
    local = {"arm", "arm-ink", "arm-line", "tone-ink", "tone-bg", "wood"}  # set by data-arm and data-tone
    assert named - local <= set(re.findall(r"--([\w-]+):", TOKENS))
