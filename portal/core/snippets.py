"""What a page does, as a command: calls of the API to copy."""

from django.conf import settings


def curl(path: str, *, body: str = "", method: str = "", repeatable: bool = False) -> str:
    """Write one call of the API as a curl command; `path` is below /api/v1/.

    repeatable: a POST that may simply be sent again, and so needs no Idempotency-Key.
    """
    lines = [f"curl {settings.PUBLIC_URL}/api/v1/{path}", '-H "Authorization: Bearer $AISLE_TOKEN"']
    if (body or method) and not repeatable:
        lines.append('-H "Idempotency-Key: $(uuidgen)"')
    if body:
        lines += ['-H "Content-Type: application/json"', f"-d '{body}'"]
    elif method:
        lines.append(f"-X {method}")
    return " \\\n  ".join(lines)
