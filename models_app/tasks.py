"""Wake-ups of this stage: each takes an id, calls one service, and does nothing when the row has moved on."""

from celery import shared_task

from models_app.models import DatasetVersion, TrainingRun
from models_app.services.checking import check_version
from models_app.services.fitting import run_training


@shared_task(name=DatasetVersion.TASK)
def check_dataset_version(version_id: str) -> None:
    check_version(version_id)


@shared_task(name=TrainingRun.TASK)
def train(run_id: str) -> None:
    run_training(run_id)
