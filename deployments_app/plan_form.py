"""The form of a plan: a template as it is, or steps and limits of one's own."""

from collections.abc import Mapping
from typing import Any

from django import forms

from deployments_app.models import Deployment
from deployments_app.plan_rules import (
    CPU_S,
    MAX_REPLICAS,
    MEMORY_MB,
    TARGET_PCT,
    Plan,
    read_plan,
)
from deployments_app.plan_templates import TEMPLATES
from deployments_app.plan_words import STRATEGY_WORDS, plan_sentence
from portal.core.errors import PortalError

OWN_STEPS = 6
SERVER_FIELDS = ("replicas", "memory_mb", "cpu_s", "max_replicas", "target_pct")
STEP_FIELDS = ("weight_pct", "hold_min", "min_answers", "mirror_pct", "person")
# Where a refusal's pointer leads to in the form.
_PLACES = {"hold_s": "hold_min", "ends_by": "person"}
# Shares of the checks, each with its field in per cent.
_SHARES = {
    "max_error_ratio": "max_error_pct",
    "empty_ratio": "empty_pct",
    "fallback_ratio": "fallback_pct",
    "max_ctr_loss": "max_ctr_loss_pct",
    "max_conversion_loss": "max_conversion_loss_pct",
    "min_overlap": "min_overlap_pct",
}
_LIMITS = {"max_wait_s": "max_wait_h", "watch_s": "watch_min", **_SHARES}


class OptionalNumber(forms.FloatField):
    """A number with a point, which may stay empty; browsers would else take whole ones only."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, widget=forms.NumberInput({"step": "any"}), **options)


class PlanForm(forms.Form):
    """Which plan. "default" is the placement's own, "own" the rows below, the others are templates."""

    plan = forms.ChoiceField(
        label="Plan",
        choices=[
            ("default", "As this placement does it"),
            *((each.name, each.title) for each in TEMPLATES.values()),
            ("own", "My own"),
        ],
        initial="default",
        widget=forms.RadioSelect,
    )
    strategy = forms.ChoiceField(label="Kind", choices=list(STRATEGY_WORDS.items()), required=False)
    max_wait_h = OptionalNumber(
        min_value=0,
        label="Wait for data at most, hours",
        help_text="Beyond the time a step is held; then it pauses.",
    )
    watch_min = OptionalNumber(
        min_value=0,
        max_value=1440,
        label="Watch it afterwards, minutes",
        help_text="If the checks fail then, it is rolled back by itself, once.",
    )
    max_error_pct = OptionalNumber(
        min_value=0,
        max_value=100,
        label="Errors at most, %",
    )
    p95_ratio = OptionalNumber(
        min_value=1,
        max_value=100,
        label="p95 at most, × the live release’s",
    )
    empty_pct = OptionalNumber(
        min_value=0,
        max_value=100,
        label="More empty lists at most, % points",
        help_text="Than the live release gives. Empty: 5.",
    )
    fallback_pct = OptionalNumber(
        min_value=0,
        max_value=100,
        label="More best-sellers at most, % points",
        help_text="Lists of what most choose, instead of a shopper’s own. Empty: 5.",
    )
    max_ctr_loss_pct = OptionalNumber(
        min_value=1,
        max_value=100,
        label="Clicks lost at most, %",
        help_text="Of the live release’s click rate, where clicks are sent. Empty: 40; 100: not judged.",
    )
    max_conversion_loss_pct = OptionalNumber(
        min_value=1,
        max_value=100,
        label="Purchases lost at most, %",
        help_text="Of its conversion, where purchases are sent. Empty: 50; 100: not judged.",
    )
    min_overlap_pct = OptionalNumber(
        min_value=0,
        max_value=100,
        label="A shadow’s lists alike at least, %",
        help_text="Items in common with the live release’s lists. Empty: not judged.",
    )

    replicas = forms.IntegerField(
        min_value=1,
        max_value=MAX_REPLICAS,
        required=False,
        label="Servers",
        help_text="How many processes of this release run side by side; one when empty.",
    )
    memory_mb = forms.IntegerField(
        min_value=MEMORY_MB[0],
        max_value=MEMORY_MB[1],
        required=False,
        label="Memory of each, MB",
        help_text="Beside the model’s own files. Empty: as usual where they run.",
    )
    cpu_s = forms.IntegerField(
        min_value=CPU_S[0],
        max_value=CPU_S[1],
        required=False,
        label="Processor time of each, seconds",
        help_text="A server that has used so much is replaced. Empty: no limit.",
    )

    max_replicas = forms.IntegerField(
        min_value=1,
        max_value=MAX_REPLICAS,
        required=False,
        label="Servers under load, at most",
        help_text="In a cluster more are added while they are busy. Empty: never more than above.",
    )
    target_pct = forms.IntegerField(
        min_value=TARGET_PCT[0],
        max_value=TARGET_PCT[1],
        required=False,
        label="Busy from, %",
        help_text="Of the processor time that they ask for, on average; 70 when empty.",
    )

    def __init__(self, *args: Any, edit: Mapping[str, Any] | None = None, **options: Any) -> None:
        """edit: a plan that the rows begin with."""
        if edit is not None:
            options["initial"] = {**(options.get("initial") or {}), **_values_of(read_plan(edit))}
        super().__init__(*args, **options)
        for at in range(1, OWN_STEPS + 1):
            self.fields |= _step_fields(at)

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        if values.get("plan") == "own" and not self._own_steps(values):
            self.add_error("weight_pct_1", "Set at least one step; the last one is 100 %.")
        return values

    def chosen_plan(self, deployment: Deployment) -> dict[str, Any] | None:
        """The plan as a service takes it, with its servers; None is the placement's own."""
        servers = {name: self.cleaned_data[name] for name in SERVER_FIELDS if self.cleaned_data.get(name)}
        plan = self._steps_and_limits()
        if not servers:
            return plan
        return {**(plan or deployment.environment.plan), "servers": servers}

    def _steps_and_limits(self) -> dict[str, Any] | None:
        values, name = self.cleaned_data, self.cleaned_data["plan"]
        if name == "default":
            return None
        if name != "own":
            return TEMPLATES[name].plan.to_json()
        limits = {check: _share(values.get(field)) for check, field in _SHARES.items()}
        limits["p95_ratio"] = values.get("p95_ratio")
        wait_h, watch_min = values.get("max_wait_h"), values.get("watch_min")
        return {
            "strategy": values.get("strategy") or "canary",
            "steps": self._own_steps(values),
            **({} if wait_h is None else {"max_wait_s": 3600 * wait_h}),
            **({} if watch_min is None else {"watch_s": 60 * watch_min}),
            "checks": {name: limit for name, limit in limits.items() if limit is not None},
        }

    def tiles(self, deployment: Deployment) -> list[dict[str, Any]]:
        """The plans to choose from, each with its steps on one line."""
        chosen = self["plan"].value()
        lines = [("default", "As this placement does it", "", plan_sentence(deployment.environment.plan))]
        lines += [(each.name, each.title, each.note, plan_sentence(each.plan)) for each in TEMPLATES.values()]
        lines.append(("own", "My own", "With the steps and limits below.", ""))
        return [
            {"value": value, "title": title, "note": note, "steps": steps, "is_chosen": value == chosen}
            for value, title, note, steps in lines
        ]

    def own_rows(self) -> list[dict[str, Any]]:
        """The fields of one's own steps, row by row."""
        return [
            {"number": at, "fields": [self[f"{name}_{at}"] for name in STEP_FIELDS]}
            for at in range(1, OWN_STEPS + 1)
        ]

    def add_problems(self, error: PortalError) -> None:
        """Show a refusal at the step or limit that it points to, or above the form."""
        for item in error.errors:
            self.add_error(self._place_of(item.get("pointer", "")), item["detail"])
        if not error.errors:
            self.add_error(None, error.detail)

    def _place_of(self, pointer: str) -> str | None:
        parts = pointer.strip("/").split("/")
        if len(parts) == 3 and parts[0] == "steps":
            name = f"{_PLACES.get(parts[2], parts[2])}_{int(parts[1]) + 1}"
        else:
            name = _LIMITS.get(parts[-1], parts[-1])
        return name if name in self.fields else None

    def _own_steps(self, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                "weight_pct": values[f"weight_pct_{at}"],
                "hold_s": 60 * (values.get(f"hold_min_{at}") or 0),
                "min_answers": values.get(f"min_answers_{at}") or 0,
                "mirror_pct": values.get(f"mirror_pct_{at}") or 0,
                "ends_by": "person" if values.get(f"person_{at}") else "plan",
            }
            for at in range(1, OWN_STEPS + 1)
            if values.get(f"weight_pct_{at}") is not None
        ]


def _step_fields(at: int) -> dict[str, forms.Field]:
    return {
        f"weight_pct_{at}": forms.IntegerField(
            min_value=0, max_value=100, required=False, label=f"Share of step {at}, %"
        ),
        f"hold_min_{at}": OptionalNumber(
            min_value=0,
            label=f"Held for, minutes (step {at})",
        ),
        f"min_answers_{at}": forms.IntegerField(
            min_value=0, required=False, label=f"Answers an arm (step {at})"
        ),
        f"mirror_pct_{at}": forms.IntegerField(
            min_value=0, max_value=100, required=False, label=f"Copies of requests, % (step {at})"
        ),
        f"person_{at}": forms.BooleanField(required=False, label=f"A person ends step {at}"),
    }


def _values_of(plan: Plan) -> dict[str, Any]:
    """Fill the rows with a plan."""
    values: dict[str, Any] = {
        "plan": "own",
        "strategy": plan.strategy,
        "max_wait_h": _plain(plan.max_wait_s / 3600),
        "watch_min": _plain(plan.watch_s / 60),
        "p95_ratio": _plain(plan.checks.p95_ratio),
        **{field: _plain(100 * getattr(plan.checks, check)) for check, field in _SHARES.items()},
        **{name: getattr(plan.servers, name) or None for name in SERVER_FIELDS},
    }
    for at, step in enumerate(plan.steps[:OWN_STEPS], 1):
        values |= {
            f"weight_pct_{at}": step.weight_pct,
            f"hold_min_{at}": _plain(step.hold_s / 60),
            f"min_answers_{at}": step.min_answers or None,
            f"mirror_pct_{at}": step.mirror_pct or None,
            f"person_{at}": step.ends_by == "person",
        }
    return values


def _plain(number: float) -> float | None:
    """Write whole numbers without a point, and nothing for 0."""
    rounded = round(number, 4)
    return (int(rounded) if rounded == int(rounded) else rounded) or None


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100
