"""The shell's forms."""

from django import forms

from portal.core.models import Role
from portal.core.permissions import SCOPES
from portal.core.tokens import DEFAULT_DAYS, MAX_DAYS


class NewMemberForm(forms.Form):
    name = forms.CharField(max_length=120, label="Name", widget=forms.TextInput({"autocomplete": "off"}))
    email = forms.EmailField(label="Email")
    username = forms.SlugField(max_length=60, label="Signs in as", help_text="Letters, digits, - and _.")
    role = forms.ChoiceField(choices=Role.choices, label="Role")


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=Role.choices, label="Role")


class NewTokenForm(forms.Form):
    name = forms.CharField(max_length=80, label="Name", help_text="What will use it, e.g. “nightly upload”.")
    scopes = forms.MultipleChoiceField(
        choices=list(SCOPES.items()), widget=forms.CheckboxSelectMultiple, label="It may"
    )
    days = forms.IntegerField(
        min_value=1,
        max_value=MAX_DAYS,
        initial=DEFAULT_DAYS,
        label="Days until it ends",
        help_text="365 at most.",
    )
