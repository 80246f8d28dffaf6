"""Forms of requests, placements and keys."""

from typing import Any

from django import forms
from django.db.models import QuerySet

from deployments_app.models import Deployment, Environment
from deployments_app.plan_form import PlanForm
from deployments_app.services.keys import DEFAULT_DAYS, MAX_DAYS
from portal.core.errors import InvalidInput


class PromotionForm(PlanForm):
    """Where a version shall go, by which plan, and why."""

    deployment = forms.ChoiceField(label="Placement", widget=forms.RadioSelect)
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

    def chosen_deployment(self) -> Deployment:
        return next(each for each in self.deployments if each.pk == self.cleaned_data["deployment"])


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
