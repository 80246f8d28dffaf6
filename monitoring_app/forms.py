"""The form of how long after an answer what a shopper did still counts for it."""

from django import forms

from monitoring_app.models import FeedbackWindow
from monitoring_app.services.windows import MAX_S

MINUTE_S, HOUR_S = 60, 3600


class WindowForm(forms.Form):
    """Minutes for clicks, hours for purchases; the service takes seconds."""

    click_min = forms.FloatField(
        min_value=1,
        max_value=MAX_S // MINUTE_S,
        label="A click counts for, minutes",
        help_text="After the list was given out. 30 is usual; much longer credits lists long out of sight.",
        widget=forms.NumberInput({"step": "any"}),
    )
    purchase_h = forms.FloatField(
        min_value=1,
        max_value=MAX_S // HOUR_S,
        label="A purchase counts for, hours",
        help_text="24 is usual; a day or more where people think it over.",
        widget=forms.NumberInput({"step": "any"}),
    )

    @staticmethod
    def values_of(window: FeedbackWindow) -> dict[str, str]:
        """What the fields begin with."""
        return {
            "click_min": f"{window.click_s / MINUTE_S:g}",
            "purchase_h": f"{window.purchase_s / HOUR_S:g}",
        }

    def seconds(self) -> dict[str, int]:
        """The windows as the service takes them."""
        given = self.cleaned_data
        return {
            "click_s": round(MINUTE_S * given["click_min"]),
            "purchase_s": round(HOUR_S * given["purchase_h"]),
        }
