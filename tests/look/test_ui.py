import re
from datetime import timedelta
from pathlib import Path

import pytest
from django import forms
from django.conf import settings
from django.template import Context, Template
from django.utils import timezone

from deployments_app.models import Promotion, Rollout
from models_app.models import DatasetVersion, TrainingRun
from portal.core.looks import LOOKS
from portal.core.templatetags.ui import _svg

TEMPLATES = Path(settings.BASE_DIR) / "templates"


def render(source: str, **context: object) -> str:
    return Template(source).render(Context(context))


def test_every_look_has_an_icon_that_exists() -> None:
    for look in LOOKS.values():
        assert "<svg" in _svg(look.icon)


@pytest.mark.parametrize("model", [DatasetVersion, TrainingRun, Promotion, Rollout])
def test_every_status_has_a_look(model: type) -> None:
    assert set(model.STATUSES) <= set(LOOKS)  # type: ignore[attr-defined]


def test_an_unknown_status_keeps_its_word() -> None:
    assert "half way" in render("{% status_pill s %}", s="half_way")


def test_words_from_data_are_escaped() -> None:
    evil = "<b onclick=x>"
    page = render(
        "{% status_pill s %}{% crumb s s %}{% weights_bar arms %}",
        s=evil,
        arms=[{"label": evil, "role": "stable", "pct": 1}],
    )
    assert "<b" not in page


def test_weights_stand_side_by_side_and_are_spoken() -> None:
    arms = [{"label": "17", "role": "stable", "pct": 70}, {"label": "18", "role": "canary", "pct": 30}]
    page = render("{% weights_bar arms 'w' %}", arms=arms)
    assert re.findall(r'id="w-\d" x="([\d.]+)%" y="0" width="([\d.]+)%"', page) == [("0", "70"), ("70", "30")]
    assert "17 serves 70" in page


def test_a_sparkline_of_one_point_says_so() -> None:
    assert "not enough points yet" in render("{% sparkline v 'Clicks' %}", v=[1.0])
    assert "<polyline" in render("{% sparkline v 'Clicks' %}", v=[1.0, None, 3.0])


def test_a_time_is_told_in_words_with_utc_as_its_title() -> None:
    page = render("{{ at|since }}", at=timezone.now() - timedelta(minutes=12, seconds=3))
    assert re.search(
        r'<time datetime="[^"]+\+00:00" data-time="ago" title="[^"]+ UTC">12 minutes ago</time>', page
    )


def test_a_field_ties_its_help_and_its_error_to_the_control() -> None:
    class Sample(forms.Form):
        name = forms.CharField(help_text="Shown in lists.")

    page = render("{% field form.name %}", form=Sample({"name": ""}))
    assert 'aria-describedby="id_name_error id_name_help"' in page
    assert 'aria-invalid="true"' in page
    assert 'id="id_name_help"' in page
    assert 'id="id_name_error"' in page


def test_templates_carry_no_inline_style_script_or_handler() -> None:
    for path in TEMPLATES.rglob("*.html"):
        text = path.read_text()
        assert not re.search(r"<[^>]+\sstyle=", text), path
        assert not re.search(r"<[^>]+\son[a-z]+=\"", text), path
        assert "<style" not in text, path
        for script in re.findall(r"<script([^>]*)>", text):
            assert "src=" in script or 'type="application/json"' in script, path


def test_every_component_opens_with_a_comment() -> None:
    for path in (TEMPLATES / "components").glob("_*.html"):
        assert path.read_text().startswith(("{#", "{% comment %}")), path
