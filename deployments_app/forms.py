"""Forms of requests, placements and keys."""

from typing import Any

from django import forms
from django.db.models import QuerySet

from deployments_app.models import Deployment, Environment
from deployments_app.plan_rules import AT_ONCE, DEFAULT_PLAN, Plan, Step
from deployments_app.request_words import plan_sentence
from deployments_app.services.keys import DEFAULT_DAYS, MAX_DAYS
from portal.core.errors import InvalidInput, PortalError

CAREFUL = Plan(steps=(Step(5, 1800, 500), Step(25, 1800, 500), Step(50, 1800, 500), Step(100)))
QUICK = Plan(steps=(Step(10, 60, 100), Step(50, 60, 100), Step(100)))
OWN_STEPS = 5
PRESETS: dict[str, tuple[str, str, Plan | None]] = {
    "default": ("As this placement does it", "", None),
    "careful": ("Careful canary", "When much depends on it, or traffic is thin.", CAREFUL),
    "quick": ("Quick canary", "For a small change with plenty of traffic.", QUICK),
    "at_once": ("At once", "No canary: everybody sees it as soon as it is ready.", AT_ONCE),
    "own": ("My own steps", "Set shares, times and samples below.", None),
}


class PromotionForm(forms.Form):
    """Where a version shall go, in which steps, and why."""

    deployment = forms.ChoiceField(label="Placement", widget=forms.RadioSelect)
    plan = forms.ChoiceField(
        label="Plan",
        choices=[(key, title) for key, (title, _, _) in PRESETS.items()],
        initial="default",
        widget=forms.RadioSelect,
    )
    comment = forms.CharField(
        max_length=4000,
        required=False,
        label="Comment",
        help_text="What the people who decide should know.",
        widget=forms.Textarea({"rows": 3}),
    )

    def __init__(self, deployments: list[Deployment], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.deployments = deployments
        choice: Any = self.fields["deployment"]
        choice.choices = [(each.pk, each.name) for each in deployments]
        choice.initial = deployments[0].pk if deployments else None
        for at in range(1, OWN_STEPS + 1):
            self.fields[f"weight_pct_{at}"] = forms.IntegerField(
                min_value=1, max_value=100, required=False, label=f"Share of step {at}, %"
            )
            self.fields[f"hold_min_{at}"] = forms.FloatField(
                min_value=0, required=False, label=f"Held for, minutes (step {at})",
                widget=forms.NumberInput({"step": "any"}),
            )  # fmt: skip
            self.fields[f"min_answers_{at}"] = forms.IntegerField(
                min_value=0, required=False, label=f"Answers an arm (step {at})"
            )

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        if values.get("plan") == "own" and not self._own_steps(values):
            self.add_error("weight_pct_1", "Set at least one step; the last one is 100 %.")
        return values

    def chosen_deployment(self) -> Deployment:
        return next(each for each in self.deployments if each.pk == self.cleaned_data["deployment"])

    def chosen_plan(self) -> dict[str, Any] | None:
        """The plan as a service takes it; None is the placement's own."""
        name = self.cleaned_data["plan"]
        if name == "own":
            return {"steps": self._own_steps(self.cleaned_data)}
        preset = PRESETS[name][2]
        return preset.to_json() if preset is not None else None

    def presets(self, deployment: Deployment) -> list[dict[str, Any]]:
        """The plans to choose from, with their steps on one line."""
        own = deployment.environment.default_plan or DEFAULT_PLAN.to_json()
        chosen = self["plan"].value()
        return [
            {
                "value": key,
                "title": title,
                "note": note,
                "steps": plan_sentence(plan or own) if key != "own" else "",
                "is_chosen": key == chosen,
            }
            for key, (title, note, plan) in PRESETS.items()
        ]

    def own_rows(self) -> list[dict[str, Any]]:
        """The fields of one's own steps, row by row."""
        names = ("weight_pct", "hold_min", "min_answers")
        return [
            {"number": at, "fields": [self[f"{name}_{at}"] for name in names]}
            for at in range(1, OWN_STEPS + 1)
        ]

    def add_problems(self, error: PortalError) -> None:
        """Show a refusal at the step it points to, or above the form."""
        places = {"weight_pct": "weight_pct", "hold_s": "hold_min", "min_answers": "min_answers"}
        for item in error.errors:
            parts = item.get("pointer", "").strip("/").split("/")
            if len(parts) == 3 and parts[0] == "steps" and parts[2] in places:
                self.add_error(f"{places[parts[2]]}_{int(parts[1]) + 1}", item["detail"])
            else:
                self.add_error(None, item["detail"])
        if not error.errors:
            self.add_error(None, error.detail)

    def _own_steps(self, values: dict[str, Any]) -> list[dict[str, Any]]:
        rows = [
            {
                "weight_pct": values.get(f"weight_pct_{at}"),
                "hold_s": 60 * (values.get(f"hold_min_{at}") or 0),
                "min_answers": values.get(f"min_answers_{at}") or 0,
            }
            for at in range(1, OWN_STEPS + 1)
        ]
        return [row for row in rows if row["weight_pct"]]


class PressForm(forms.Form):
    """A button: what it does, what is said to it, and the version of the row it was drawn from."""

    do = forms.CharField(max_length=20, required=False)
    comment = forms.CharField(max_length=4000, required=False)
    lock_version = forms.IntegerField(min_value=0, required=False)
    to_release = forms.CharField(max_length=40, required=False)

    def read(self) -> dict[str, Any]:
        """The values; raises InvalidInput."""
        if not self.is_valid():
            raise InvalidInput(" ".join(str(text) for texts in self.errors.values() for text in texts))
        return self.cleaned_data


class DeploymentForm(forms.Form):
    """A placement, and its environment when there is none yet."""

    name = forms.CharField(max_length=80, label="Name", help_text="As people say it, e.g. “the home page”.")
    slug = forms.SlugField(
        max_length=40, label="Short name", help_text="In the address your site calls: a-z, 0-9 and hyphens."
    )
    is_open = forms.BooleanField(
        required=False,
        label="Answer without a key",
        help_text="Anybody who reaches the gateway may ask. Leave it off unless recommendations are public.",
    )
    environment = forms.ModelChoiceField(
        Environment.objects.none(),
        required=False,
        label="Environment",
        empty_label=None,
        help_text="It says how many people approve, and where servers run.",
    )
    environment_name = forms.CharField(max_length=80, label="Environment", initial="Production")
    min_approvals = forms.IntegerField(
        min_value=1,
        max_value=5,
        initial=1,
        label="Approvals needed",
        help_text="Besides the person who asks.",
    )

    def __init__(self, environments: QuerySet[Environment], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.has_environment = environments.exists()
        for name in ("environment_name", "min_approvals") if self.has_environment else ("environment",):
            del self.fields[name]
        if self.has_environment:
            choice: Any = self.fields["environment"]
            choice.queryset, choice.required = environments, True
            choice.initial = environments.first()


class ServingKeyForm(forms.Form):
    name = forms.CharField(max_length=80, label="Name", help_text="What will use it, e.g. “web shop”.")
    days = forms.IntegerField(
        min_value=1,
        max_value=MAX_DAYS,
        initial=DEFAULT_DAYS,
        label="Days until it ends",
        help_text=f"{MAX_DAYS} at most.",
    )
