from models_app.models.datasets import Dataset, DatasetVersion
from models_app.models.registry import ModelVersion, RegisteredModel
from models_app.models.training import RunRole, TrainingRun

__all__ = ["Dataset", "DatasetVersion", "ModelVersion", "RegisteredModel", "RunRole", "TrainingRun"]
