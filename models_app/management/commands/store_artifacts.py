"""Put every model version's artifact into the S3 store: those that were made before there was one."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from models_app.artifact_store import artifact_store, store_artifact
from models_app.models import ModelVersion
from portal.core.errors import BackendError


class Command(BaseCommand):
    """`manage.py store_artifacts`: what is in the store already is not sent again."""

    help = "Put the artifacts of all model versions into the S3 store that ARTIFACT_S3_URL names."

    def handle(self, *args: Any, **options: Any) -> None:
        if artifact_store() is None:
            raise CommandError("There is no S3 store: set ARTIFACT_S3_URL.")
        digests = list(ModelVersion.objects.values_list("artifact_digest", flat=True).distinct())
        lost = 0
        for digest in sorted(digests):
            try:
                store_artifact(digest)
            except BackendError as error:
                raise CommandError(error.detail) from error
            except OSError as error:
                lost += 1
                self.stderr.write(f"{digest}: {error}")
        self.stdout.write(f"{len(digests) - lost} artifacts are in the S3 store.")
        if lost:
            raise CommandError(f"{lost} artifacts could not be read. Restore them from a backup.")
