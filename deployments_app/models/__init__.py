from deployments_app.models.deployments import Deployment, Release, ServingKey, Workload
from deployments_app.models.environments import Environment, Gateway
from deployments_app.models.promotions import Promotion, Review
from deployments_app.models.rehearsals import Rehearsal
from deployments_app.models.rollouts import AnalysisVerdict, Rollout

__all__ = [
    "AnalysisVerdict",
    "Deployment",
    "Environment",
    "Gateway",
    "Promotion",
    "Rehearsal",
    "Release",
    "Review",
    "Rollout",
    "ServingKey",
    "Workload",
]
