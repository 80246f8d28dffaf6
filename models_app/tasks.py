"""Wake-ups of this stage: each takes an id, calls one service, and does nothing when the row has moved on."""

from celery import shared_task

from models_app.models import DatasetVersion
from models_app.services.checking import check_version


@shared_task(name=DatasetVersion.TASK)
def check_dataset_version(version_id: str) -> None:
    check_version(version_id)
