"""The same things by the API: commands to copy, with this shop's own addresses."""

from django.conf import settings

from deployments_app.models import Deployment
from monitoring_app.feedback_words import send_a_click
from portal.core.models import Shop
from portal.core.snippets import curl

__all__ = ["curl", "first_calls"]


def first_calls(shop: Shop, deployment: Deployment | None) -> list[dict[str, str]]:
    """The calls from a token to a recommendation, in order."""
    placement = f"{shop.slug}/{deployment.slug if deployment else 'home'}"
    is_open = deployment is not None and deployment.is_open
    key = "" if is_open else ' \\\n  -H "Authorization: Bearer $SERVING_KEY"'
    file = f"{settings.PUBLIC_URL}/api/v1/dataset-versions/$VERSION/file?name=ratings.csv"
    upload = f'curl -T ratings.csv "{file}" \\\n  -H "Authorization: Bearer $AISLE_TOKEN"'
    training = '{"dataset_version": "dsv_…", "model": "shop-main", "algorithms": [{"algorithm": "als"}]}'
    asking = '{"model_version": "mv_…", "deployment": "dep_…"}'
    return [
        {
            "title": "Keep a token at hand",
            "note": "Make one under Settings, Tokens, with the scopes the calls below need.",
            "code": "export AISLE_TOKEN=aisle_…",
        },
        {
            "title": "Upload and check",
            "note": "A dataset holds versions; a version takes one file, and is checked line by line.",
            "code": "\n\n".join(
                [
                    curl("datasets", body='{"name": "ratings"}'),
                    curl("datasets/$DATASET/versions", method="POST"),
                    upload,
                    curl("dataset-versions/$VERSION/check", method="POST"),
                ]
            ),
        },
        {
            "title": "Train",
            "note": "Popularity is always trained too. Follow the run under /api/v1/jobs/{id}.",
            "code": curl("training-runs", body=training),
        },
        {
            "title": "Ask for promotion",
            "note": "A token asks; a person who signs in, and who is not you, approves.",
            "code": curl("promotions", body=asking),
        },
        {
            "title": "Get recommendations",
            "note": "From the gateway. Write what is no letter, digit or -._~ in an id as %20 and the like, "
            "the same way in all calls: the arm goes by the spelling. "
            + (
                "This placement is open: it needs no key."
                if is_open
                else "Serving keys are made on the placement's page."
            ),
            "code": f"curl '{settings.GATEWAY_URL}/{placement}/recommendations?user=u42&k=10'{key}",
        },
        {
            "title": "Say what shoppers did",
            "note": "With the answer’s recommendation_id a click is credited to the release that gave "
            "the list. The token needs the scope events:write; up to 1,000 events a call.",
            "code": send_a_click(),
        },
        {
            "title": "Roll back",
            "note": "One call, to the last good release. The token needs the scope rollouts:rollback.",
            "code": curl("deployments/$DEPLOYMENT/rollback", body='{"to_release": null}'),
        },
    ]
