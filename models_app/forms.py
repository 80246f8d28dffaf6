"""Forms of data and training. Parameters come from the engine's own description of its configs."""

from typing import Any

from django import forms
from django.db.models import QuerySet

from engine.estimators.base import FAMILIES
from engine.parameters import Parameter
from engine.roles import INTERACTION_ROLES, ITEM_ROLES
from models_app.models import Dataset, DatasetVersion
from models_app.selectors.plans import TrainingPlan
from models_app.services.weighing import LEAST_DAYS, MOST_DAYS, MOST_WEIGHT
from portal.core.errors import PortalError

ROLE_LABELS = {
    "user": "Shopper",
    "item": "Item",
    "value": "Rating or value",
    "time": "Time",
    "event_type": "Kind of event",
    "title": "Title",
    "category": "Category",
    "price": "Price",
    "seller": "Seller",
}
ROLE_HELP = {
    "user": "Who: any text, kept as it is.",
    "item": "With what: any text, kept as it is.",
    "value": "How much. Without it every row counts as one.",
    "time": "When: seconds, milliseconds or a date. Needed for a fair split by time.",
    "seller": "Who sells it. Runs then compare each seller's exposure with its share of the catalogue.",
}
REQUIRED = {"user", "item"}


class _OfDatasets(forms.Form):
    """A form whose field `dataset` offers the datasets of one shop."""

    def __init__(self, datasets: QuerySet[Dataset], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["dataset"].queryset = datasets  # type: ignore[attr-defined]


class UploadForm(_OfDatasets):
    """A file for a new dataset, or for the next version of one."""

    dataset = forms.ModelChoiceField(
        Dataset.objects.none(),
        required=False,
        label="Dataset",
        empty_label="A new dataset",
        help_text="Choose one to add the next version to it.",
    )
    name = forms.CharField(max_length=80, required=False, label="Name of the new dataset")
    file = forms.FileField(label="Ratings")
    items_file = forms.FileField(required=False, label="Items")

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        if not values.get("dataset") and not values.get("name", "").strip():
            self.add_error("name", "Give the new dataset a name, or choose an existing one.")
        return values


class RatingsForm(_OfDatasets):
    """Which dataset gets a version of the ratings that were received one by one."""

    dataset = forms.ModelChoiceField(
        Dataset.objects.none(),
        required=False,
        label="As the next version of",
        empty_label="A dataset of their own",
        help_text="Its file about items goes with it.",
    )


class ColumnsForm(forms.Form):
    """Which column is what, for the ratings and for the items."""

    lock_version = forms.IntegerField(widget=forms.HiddenInput)
    leave_out_bad_rows = forms.BooleanField(
        required=False,
        label="Leave bad rows out",
        help_text="Otherwise one bad row stops the check, and the page lists what is wrong with its line.",
    )

    def __init__(self, version: DatasetVersion, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["lock_version"].initial = version.lock_version
        self.fields["leave_out_bad_rows"].initial = version.leave_out_bad_rows
        self.groups: list[dict[str, Any]] = []
        self._add("file", "Ratings", version.file_format, version.roles, INTERACTION_ROLES)
        if version.items_format:
            self._add("items", "Items", version.items_format, version.items_roles, ITEM_ROLES)

    def roles(self, group: str) -> dict[str, int]:
        """The chosen column positions by role."""
        chosen = {}
        for name, value in self.cleaned_data.items():
            prefix, _, role = name.partition("__")
            if prefix == group and value not in ("", None):
                chosen[role] = int(value)
        return chosen

    def group_fields(self) -> list[dict[str, Any]]:
        return [{**group, "fields": [self[name] for name in group["names"]]} for group in self.groups]

    def _add(
        self, group: str, title: str, facts: dict[str, Any], roles: dict[str, int], known: tuple[str, ...]
    ) -> None:
        columns = [(str(at), name) for at, name in enumerate(facts["columns"])]
        names = []
        for role in known:
            name = f"{group}__{role}"
            names.append(name)
            self.fields[name] = forms.ChoiceField(
                choices=columns if role in REQUIRED else [("", "— none —"), *columns],
                required=role in REQUIRED,
                initial=str(roles.get(role, "")),
                label=ROLE_LABELS[role],
                help_text=ROLE_HELP.get(role, ""),
            )
        self.groups.append({"title": title, "names": names, "group": group})


class TrainingForm(forms.Form):
    """Algorithms with their settings, the split and the seed, as the engine describes them."""

    model_name = forms.SlugField(max_length=60, label="Model", help_text="The use it is for, e.g. shop-main.")
    seed = forms.IntegerField(
        min_value=0,
        max_value=2**31 - 1,
        initial=0,
        label="Seed",
        help_text="The same seed gives the same model.",
    )

    def __init__(self, plan: TrainingPlan, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.plan = plan
        self.recommended = {each.name for each in plan.algorithms if each.is_recommended}
        self.fields["model_name"].initial = plan.model_name
        self.fields["algorithms"] = forms.MultipleChoiceField(
            choices=[(each.name, each.title) for each in plan.algorithms],
            initial=[each.name for each in plan.algorithms if each.is_recommended],
            widget=forms.CheckboxSelectMultiple,
            label="Algorithms",
            error_messages={"required": "Choose at least one algorithm. Popularity is trained in any case."},
        )
        self._add_weighing(plan)
        for parameter in plan.split_parameters:
            self._add(
                f"split__{parameter.name}", parameter, plan.split.get(parameter.name, parameter.default)
            )
        for algorithm in plan.algorithms:
            for parameter in algorithm.parameters:
                self._add(f"{algorithm.name}__{parameter.name}", parameter, parameter.default)

    def training(self) -> dict[str, Any]:
        """The arguments of `start_training`."""
        values = self.cleaned_data
        weights, days = self._event_weights(), values.get("half_life_days")
        algorithms = [{"algorithm": name, "config": self._values(name)} for name in values["algorithms"]]
        if weights is not None or days is not None:
            for each in algorithms:  # left as it was: the service lets it read the weights
                if each["config"].get("values") == "ignore":
                    del each["config"]["values"]
        return {
            "model_name": values["model_name"],
            "seed": values["seed"],
            "split": self._values("split"),
            "algorithms": algorithms,
            "event_weights": weights,
            "half_life_days": days,
        }

    def groups(self) -> dict[str, Any]:
        """The recommended algorithms, open, then the others by family; each a card with its fields."""
        titles = ["Start here", *FAMILIES.values()]
        shelves: dict[str, list[dict[str, Any]]] = {title: [] for title in titles}
        chosen = self["algorithms"].value() or []
        for each in self.plan.algorithms:
            fields = [self[f"{each.name}__{parameter.name}"] for parameter in each.parameters]
            card = {
                "plan": each,
                "is_chosen": each.name in chosen,
                "fields": fields,
                "is_open": any(field.errors for field in fields),
            }
            shelves[titles[0] if each.name in self.recommended else each.family].append(card)
        groups = [{"title": title, "cards": cards} for title, cards in shelves.items() if cards]
        first = 1 if shelves[titles[0]] else len(groups)  # nothing to start with: then all of them at once
        others = [card for title in titles[1:] for card in shelves[title]]
        return {
            "open": groups[:first],
            "more": groups[first:],
            "more_count": len(others),
            "is_more_open": any(card["is_chosen"] or card["is_open"] for card in others),
        }

    def recipes(self) -> list[tuple[str, dict[str, Any]]]:
        """Each algorithm with the settings written here, those left out in which a setting is wrong."""
        if not self.is_bound:
            return [(each.name, {}) for each in self.plan.algorithms]
        wrong = {name.partition("__")[0] for name in self.errors}
        return [
            (each.name, self._values(each.name)) for each in self.plan.algorithms if each.name not in wrong
        ]

    def split_fields(self) -> list[forms.BoundField]:
        return [self[f"split__{parameter.name}"] for parameter in self.plan.split_parameters]

    def weight_fields(self) -> list[forms.BoundField]:
        return [self[f"event_weight__{at}"] for at, _ in enumerate(self.plan.event_types)]

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        if values.get("weighs_events"):
            for at, _ in enumerate(self.plan.event_types):
                name = f"event_weight__{at}"
                if name in values and values[name] is None:
                    self.add_error(name, "Give it a weight; 0 leaves its rows out.")
        return values

    def add_problems(self, error: PortalError) -> None:
        """Show a service's refusal at the field it points to, or above the form."""
        places = [(self._place(item.get("pointer", "")), item["detail"]) for item in error.errors]
        for name, detail in places:
            if name is not None:
                self.add_error(name, detail)
        if not any(name for name, _ in places):
            self.add_error(None, error.detail)

    def _place(self, pointer: str) -> str | None:
        """Find the field for "/split/method" or "/algorithms/1/config/factors"; None when there is none."""
        whole, *rest = pointer.strip("/").split("/")
        if whole == "algorithms":
            chosen = self["algorithms"].value() or []
            at = int(rest[0]) if rest and rest[0].isdigit() else len(chosen)
            name = f"{chosen[at]}__{rest[-1]}" if at < len(chosen) else ""
            return name if name in self.fields else "algorithms"
        renamed = {"model": "model_name", "event_weights": "weighs_events"}
        name = "__".join([renamed.get(whole, whole), *rest])
        return name if name in self.fields else None

    def _event_weights(self) -> dict[str, float] | None:
        if not self.cleaned_data.get("weighs_events"):
            return None
        return {
            each.name: self.cleaned_data[f"event_weight__{at}"]
            for at, each in enumerate(self.plan.event_types)
        }

    def _add_weighing(self, plan: TrainingPlan) -> None:
        """Offer weights where the data has event types, and a half-life where it has times."""
        if plan.event_types:
            self.fields["weighs_events"] = forms.BooleanField(
                required=False,
                label="Weigh kinds of events",
                help_text="Off: whatever a shopper did to an item is one yes. On: all that she did adds up, "
                "and algorithms whose values are set to be ignored use the sums as confidence.",
            )
        for at, each in enumerate(plan.event_types):
            self.fields[f"event_weight__{at}"] = forms.FloatField(
                required=False,
                min_value=0,
                max_value=MOST_WEIGHT,
                initial=each.suggested_weight,
                widget=forms.NumberInput({"step": "any"}),
                label=each.name or "(empty)",
                help_text=f"{each.rows:,} rows. 0 leaves them out.",
            )
        if plan.has_times:
            again = "" if plan.event_types else " Of rows that repeat a pair, the last one counts."
            self.fields["half_life_days"] = forms.FloatField(
                required=False,
                min_value=LEAST_DAYS,
                max_value=MOST_DAYS,
                widget=forms.NumberInput({"step": "any"}),
                label="Half-life in days",
                help_text="How much older than the newest row one must be to count half, say 90. Empty: "
                f"age does not matter.{again}",
            )

    def _values(self, prefix: str) -> dict[str, Any]:
        start = f"{prefix}__"
        return {
            name.removeprefix(start): value
            for name, value in self.cleaned_data.items()
            if name.startswith(start)
        }

    def _add(self, name: str, parameter: Parameter, initial: Any) -> None:
        shared: dict[str, Any] = {
            "label": parameter.title,
            "help_text": f"{parameter.help} {_range(parameter)}".strip(),
            "initial": initial,
        }
        if parameter.kind == "choice":
            self.fields[name] = forms.ChoiceField(choices=parameter.choices, **shared)
        elif parameter.kind == "boolean":
            self.fields[name] = forms.BooleanField(required=False, **shared)
        elif parameter.kind == "integer":
            self.fields[name] = forms.IntegerField(
                min_value=_whole(parameter.minimum), max_value=_whole(parameter.maximum), **shared
            )
        else:
            self.fields[name] = forms.FloatField(
                min_value=parameter.minimum,
                max_value=parameter.maximum,
                widget=forms.NumberInput({"step": "any"}),
                **shared,
            )


def _range(parameter: Parameter) -> str:
    """Say what a number may be: "Between 8 and 1,024.", "" for what is chosen from a list."""
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None:
        return f"Between {low:,g} and {high:,g}."
    if low is not None:
        return f"At least {low:,g}."
    return f"At most {high:,g}." if high is not None else ""


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
