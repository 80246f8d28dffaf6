from deployments_app.models.deployments import Deployment, Release, ServingKey, Workload
from deployments_app.models.environments import Environment, Gateway
from deployments_app.models.promotions import Promotion, Review
from deployments_app.models.rollouts import AnalysisVerdict, Rollout

__all__ = [
    "AnalysisVerdict",
    "Deployment",
    "Environment",
    "Gateway",
    "Promotion",
    "Release",
    "Review",
    "Rollout",
    "ServingKey",
    "Workload",
]
