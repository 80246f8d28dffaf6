"""Lists narrowed by what the query names."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request

from portal.core.errors import InvalidInput


def narrow(rows: QuerySet[Any], request: Request, **choices: tuple[str, ...]) -> QuerySet[Any]:
    """Filter rows by what the query names; raises InvalidInput for what no row can be."""
    for name, known in choices.items():
        wanted = request.query_params.get(name)
        if wanted is not None and wanted not in known:
            raise InvalidInput(f"Unknown {name} {wanted[:40]!r}. Known are: {', '.join(known)}.")
        if wanted is not None:
            rows = rows.filter(**{name: wanted})
    return rows
