"""Sample facts for the gallery of components: invented, shaped as the pages shape theirs."""

import math
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils import timezone

from portal.context_processors import Frame
from portal.core.looks import LOOKS

ALGORITHMS = [("als", "ALS"), ("item_knn", "Item kNN"), ("popularity", "Popularity")]
SPLITS = [("temporal", "The last 10 % of time"), ("last_n", "The last 5 items of each shopper")]


class SampleForm(forms.Form):
    name = forms.CharField(label="Name", help_text="Shown in lists and in the model card.", max_length=20)
    algorithm = forms.ChoiceField(label="Algorithm", choices=ALGORITHMS)
    factors = forms.IntegerField(
        label="Factors", min_value=1, help_text="More find finer tastes, and cost memory."
    )
    split = forms.ChoiceField(label="Hold out", choices=SPLITS, widget=forms.RadioSelect)
    comment = forms.CharField(label="Comment", required=False, widget=forms.Textarea(attrs={"rows": 3}))
    agree = forms.BooleanField(label="Train popularity as the baseline too", required=False)


class SampleFrame(Frame):
    """The frame with a shop, a person's two shops and a running job, without a database."""

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request)
        self.alerts = []  # type: ignore[assignment]
        self.shop = SimpleNamespace(pk="shp_1", slug="nordic-attic", name="Nordic Attic")  # type: ignore[assignment]
        other = SimpleNamespace(pk="shp_2", slug="old-mill", name="Old Mill Books")
        self.memberships = [  # type: ignore[assignment]
            SimpleNamespace(shop=self.shop, shop_id="shp_1", role="approver"),
            SimpleNamespace(shop=other, shop_id="shp_2", role="viewer"),
        ]
        self.role = "approver"  # type: ignore[assignment]
        self.waiting_approvals = 2  # type: ignore[assignment]
        self.jobs = [{"label": "Train ALS on ratings v12", "url": "#", "stage": "fit, 7 of 15", "pct": 46.0}]  # type: ignore[assignment]


def person() -> SimpleNamespace:
    return SimpleNamespace(is_authenticated=True, label="Ana Lind")


def sample() -> dict[str, Any]:
    now = timezone.now()
    wave = [3.1 + 0.35 * math.sin(at / 4) + 0.1 * math.cos(at * 1.7) for at in range(48)]
    return {
        "now": now,
        "arms": [
            {"label": "Release 17, stable", "role": "stable", "pct": 90, "note": "18,800 shoppers"},
            {"label": "Release 18, canary", "role": "canary", "pct": 10, "note": "2,100 shoppers"},
        ],
        "steps": [
            {"label": "10 %", "note": "2,100 shoppers", "note2": "40 min left", "state": "now"},
            {"label": "50 %", "note": "10,400 shoppers", "state": ""},
            {"label": "Everyone", "note": "20,900 shoppers", "state": ""},
        ],
        "places": places(wave),
        "lines": lines(now, wave),
        "legend": [{"arm": "stable", "label": "17 stable"}, {"arm": "canary", "label": "18 canary"}],
        "gates": gates(),
        "bars": bars(),
        "histogram": histogram(),
        "runs": runs(now),
        "shelves": shelves(),
        "events": events(now),
        "checklist": checklist(),
        "errors": [{"pointer": "line 4182, column 3", "detail": "the quote that opens here never closes"}],
        "form": SampleForm({"name": "a name that is much too long for this", "factors": "0", "agree": "on"}),
        "statuses": list(LOOKS),
        "tabs": [
            {"label": "Needs me", "url": "#", "is_current": True, "count": 2},
            {"label": "All open", "url": "#", "is_current": False, "count": 5},
            {"label": "Decided", "url": "#", "is_current": False, "count": None},
        ],
        "big_facts": [
            {"label": "Interactions", "value": "1,204,331", "note": "38 rows left out"},
            {"label": "Shoppers", "value": "20,931"},
            {"label": "Products", "value": "2,004"},
            {
                "label": "Density",
                "value": "2.87",
                "unit": "%",
                "title": "interactions / (shoppers × products)",
            },
        ],
        "curl": "curl -X POST https://aisle.example/api/v1/deployments/dep_01J9/rollback \\\n"
        '  -H "Authorization: Bearer $AISLE_TOKEN" \\\n'
        '  -H "Idempotency-Key: $(uuidgen)" \\\n  -d \'{"to_release": null}\'',
    }


def places(wave: list[float]) -> list[dict[str, Any]]:
    return [
        {
            "name": "Home page",
            "status": "healthy",
            "arm": "accent",
            "values": wave,
            "spoken": "Click-through, last day",
            "facts": [
                {"label": "Click-through, 24 h", "value": "3.4", "unit": "% ± 0.1"},
                {"label": "Answers in", "value": "7", "unit": "ms p95"},
            ],
            "line": "Release 17 · ALS, 64 factors · 212 requests/s",
        },
        {
            "name": "Product page",
            "status": "progressing",
            "arm": "canary",
            "values": wave[::-1],
            "spoken": "Click-through, last day",
            "facts": [
                {"label": "Click-through, 24 h", "value": "5.1", "unit": "% ± 0.2"},
                {"label": "Answers in", "value": "8", "unit": "ms p95"},
            ],
            "line": "Release 9 to 10 · needs 1,900 more views",
        },
        {
            "name": "Basket",
            "status": "stale",
            "arm": "stable",
            "values": wave[10:30],
            "spoken": "Click-through, last day",
            "facts": [
                {"label": "Click-through, 24 h", "value": "2.2", "unit": "% ± 0.1"},
                {"label": "Answers in", "value": "6", "unit": "ms p95"},
            ],
            "line": "Trained on ratings up to 9 November",
        },
    ]


def lines(now: Any, wave: list[float]) -> dict[str, Any]:
    times = [now - timedelta(minutes=48 - at) for at in range(48)]
    canary = [value + 0.5 for value in wave[20:]]
    band = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    return {
        "data": [
            {
                "x": times,
                "y": wave,
                "name": "17 stable",
                "mode": "lines",
                "line": {"color": "--stable", "width": 2.25},
            },
            {"x": times[20:], "y": [value + 0.3 for value in canary], **band},
            {
                "x": times[20:],
                "y": [value - 0.3 for value in canary],
                "fill": "tonexty",
                "fillcolor": "--canary 20%",
                **band,
            },
            {
                "x": times[20:],
                "y": canary,
                "name": "18 canary",
                "mode": "lines",
                "line": {"color": "--canary-line", "width": 2.25},
            },
        ],
        "layout": {
            "showlegend": False,
            "shapes": [
                {
                    "type": "line",
                    "x0": times[20],
                    "x1": times[20],
                    "y0": 0,
                    "y1": 1,
                    "yref": "paper",
                    "line": {"color": "--ink-muted", "width": 1, "dash": "dot"},
                }
            ],
            "annotations": [
                {
                    "x": times[20],
                    "y": 1,
                    "yref": "paper",
                    "text": "release 18 at 10 %",
                    "showarrow": False,
                    "xanchor": "left",
                    "xshift": 6,
                    "font": {"size": 11.5, "color": "--ink-muted"},
                }
            ],
        },
    }


def bars() -> dict[str, Any]:
    names = ["ALS, 64 factors", "Item graph", "BPR", "Item kNN", "Popularity"]
    colours = ["--accent", "--accent", "--stable", "--stable", "--baseline"]
    return {
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": [0.139, 0.142, 0.104, 0.118, 0.061],
                "y": names,
                "marker": {"color": colours},
                "error_x": {
                    "array": [0.006, 0.006, 0.005, 0.005, 0.004],
                    "color": "--ink",
                    "thickness": 1.5,
                    "width": 4,
                },
            }
        ],
        "layout": {"xaxis": {"title": "NDCG@10", "showgrid": True}, "yaxis": {"showgrid": False}},
    }


def histogram() -> dict[str, Any]:
    values = [0.5 + 0.5 * at for at in range(10)]
    counts = [1370, 2811, 1791, 7551, 5550, 20047, 13136, 26818, 8551, 13211]
    return {
        "data": [{"type": "bar", "x": values, "y": counts, "marker": {"color": "--series-1"}}],
        "layout": {"xaxis": {"title": "rating"}},
    }


def gates() -> list[dict[str, Any]]:
    return [
        {"label": "Errors under 1 %", "outcome": "pass", "value": "0.00 %"},
        {"label": "p95 at most 1.5 × stable", "outcome": "pass", "value": "7.9 / 7.1 ms", "blocking": True},
        {
            "label": "No segment loses over 5 %",
            "outcome": "fail",
            "value": "garden −6.4 %",
            "need": "941 shoppers; at most −5 %",
        },
        {
            "label": "Click-through not below stable",
            "outcome": "not_enough_data",
            "value": "1,240 / 3,140",
            "need": "1,900 more views",
        },
    ]


def runs(now: Any) -> list[dict[str, Any]]:
    rows = [
        ("Popularity", 41, 0.061, 0.004, 0.12, 2e5, 0.0003, "baseline", ""),
        ("Item kNN", 42, 0.118, 0.005, 0.41, 9.8e6, 0.0011, "worse", ""),
        ("Item graph", 44, 0.142, 0.006, 0.57, 11.2e6, 0.0012, "better", "best"),
        ("ALS, 64 factors", 45, 0.139, 0.006, 0.52, 4.1e6, 0.0009, "no_difference", "same"),
    ]
    keys = ("name", "number", "ndcg", "half", "coverage", "size", "p95", "verdict", "class")
    return [
        {**dict(zip(keys, row, strict=True)), "at": now - timedelta(hours=3 * at)}
        for at, row in enumerate(rows)
    ]


def shelves() -> list[dict[str, Any]]:
    def item(title: str, kind: str, price: str, **more: Any) -> dict[str, Any]:
        return {"title": title, "kind": kind, "price": price, **more}

    return [
        {
            "title": "Bought lately",
            "arm": "",
            "aside": "",
            "items": [
                item("Enamel coffee pot", "Kitchen", "€32"),
                item("Oak serving board", "Kitchen", "€24"),
                item("Linen tea towel, set of 3", "Textiles", "€18"),
                item("Stoneware mug", "Kitchen", "€12"),
                item("Beeswax candle", "Living", "€9"),
            ],
        },
        {
            "title": "Live now, release 17",
            "arm": "stable",
            "aside": "ALS, 64 factors",
            "items": [
                item("Stoneware plate", "Kitchen", "€14", rank=1),
                item("Wool throw, grey", "Textiles", "€69", rank=2),
                item("Enamel kettle", "Kitchen", "€39", rank=3),
                item("Coffee grinder", "Kitchen", "€45", rank=4, move="lost"),
                item("Oak butter dish", "Kitchen", "€22", rank=5),
            ],
        },
        {
            "title": "Item graph, run 44",
            "arm": "canary",
            "aside": "2 new, 1 gone",
            "items": [
                item("Enamel kettle", "Kitchen", "€39", rank=1, move="up", was=3),
                item("Coffee filter cone", "Kitchen", "€15", rank=2, move="new"),
                item("Stoneware plate", "Kitchen", "€14", rank=3, move="down", was=1),
                item("Oak butter dish", "Kitchen", "€22", rank=4, move="up", was=5),
                item("Cold-brew jar", "Kitchen", "€27", rank=5, move="new"),
            ],
        },
    ]


def events(now: Any) -> list[dict[str, Any]]:
    return [
        {
            "at": now - timedelta(minutes=2),
            "text": "Held at 10 %: click-through needs 1,900 more views.",
            "icon": "hourglass",
            "tone": "warn",
        },
        {
            "at": now - timedelta(minutes=9),
            "text": "10 % of shoppers moved to release 18. Nobody else changed.",
            "icon": "chevrons-right",
            "tone": "busy",
        },
        {
            "at": now - timedelta(minutes=10),
            "text": "Release 18 is ready, warmed with 500 shoppers.",
            "icon": "check",
            "tone": "ok",
        },
        {
            "at": now - timedelta(days=2),
            "who": "Ana Lind",
            "text": "approved promotion 31",
            "url": "#",
            "reason": "Garden is out of season, fine by me.",
            "icon": "badge-check",
            "tone": "ok",
        },
    ]


def checklist() -> list[dict[str, Any]]:
    return [
        {
            "label": "Upload your ratings",
            "note": "ratings.csv, 1,204,331 rows, 38 left out",
            "state": "done",
            "aside": "42 s",
        },
        {"label": "Check them", "note": "Ready for every algorithm", "state": "done", "aside": "6 s"},
        {
            "label": "Train and compare",
            "note": "ALS beats popularity by 31 % ± 4",
            "state": "done",
            "aside": "1 min 50 s",
        },
        {
            "label": "Ask for promotion",
            "note": "A second person approves; they see the evidence you see",
            "state": "now",
            "action_label": "Ask",
            "action_url": "#",
        },
        {
            "label": "Watch it go live",
            "note": "10 %, 50 %, then everyone; roll back at any moment",
            "state": "later",
            "aside": "about 20 min",
        },
    ]
