"""Opaque, prefixed, time-ordered ids: `run_01J9…`."""

from typing import Any

from django.db import models
from ulid import ULID


def new_id(prefix: str) -> str:
    """Make an id: the prefix, an underscore and a ULID (time-ordered, 80 random bits)."""
    return f"{prefix}_{ULID()}"


class PrefixedIdField(models.CharField):
    """A primary key such as `run_01J9…`; the prefix says what it is wherever it appears."""

    def __init__(self, prefix: str, **options: Any) -> None:
        self.prefix = prefix
        options.update(primary_key=True, max_length=40, editable=False)
        super().__init__(**options)

    def get_default(self) -> str:
        return new_id(self.prefix)

    def has_default(self) -> bool:
        return True

    def deconstruct(self) -> Any:
        name, path, args, options = super().deconstruct()
        for key in ("primary_key", "max_length", "editable"):
            options.pop(key, None)
        return name, path, [self.prefix, *args], options
