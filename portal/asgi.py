"""The web process: Django behind the limit on request bodies."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

django = get_asgi_application()  # sets Django up: what follows may import models

from django.conf import settings  # noqa: E402

from portal.body_limit import BodyLimit  # noqa: E402

application = BodyLimit(
    django,
    upload_max_bytes=settings.UPLOAD_MAX_BYTES,
    events_max_bytes=settings.EVENTS_BODY_MAX_BYTES,
    other_max_bytes=settings.API_BODY_MAX_BYTES,
)
