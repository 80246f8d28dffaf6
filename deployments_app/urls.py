"""Pages, below /{shop}/."""

from django.urls import URLPattern, path

from deployments_app.views import approvals, environments, history, placements, rollouts

urlpatterns: list[URLPattern] = [
    path("approvals", approvals.approvals, name="approvals"),
    path("approvals/new", approvals.promotion_new, name="promotion_new"),
    path("approvals/<str:promotion_id>", approvals.promotion_detail, name="promotion_detail"),
    path("approvals/<str:promotion_id>/changes", approvals.promotion_changes, name="promotion_changes"),
    path("approvals/<str:promotion_id>/decide", approvals.promotion_decide, name="promotion_decide"),
    path("deployments", placements.deployment_list, name="deployment_list"),
    path("deployments/new", placements.deployment_new, name="deployment_new"),
    path("environments/<str:environment_id>", environments.environment_detail, name="environment_detail"),
    path(
        "environments/<str:environment_id>/remove", environments.environment_remove, name="environment_remove"
    ),
    path("deployments/<str:deployment_id>", placements.deployment_detail, name="deployment_detail"),
    path("deployments/<str:deployment_id>/status", placements.deployment_status, name="deployment_status"),
    path("deployments/<str:deployment_id>/rollback", rollouts.roll_back, name="deployment_rollback"),
    path("deployments/<str:deployment_id>/keys", placements.key_new, name="deployment_key_new"),
    path(
        "deployments/<str:deployment_id>/keys/<str:key_id>/revoke",
        placements.key_revoke,
        name="deployment_key_revoke",
    ),
    path("deployments/<str:deployment_id>/history", history.time_machine, name="time_machine"),
    path("deployments/<str:deployment_id>/rehearse", history.rehearse, name="deployment_rehearse"),
    path("rollouts/<str:rollout_id>", rollouts.rollout_detail, name="rollout_detail"),
    path("rollouts/<str:rollout_id>/status", rollouts.rollout_status, name="rollout_status"),
    path("rollouts/<str:rollout_id>/act", rollouts.rollout_act, name="rollout_act"),
    path("rollouts/<str:rollout_id>/note", rollouts.rollout_note, name="rollout_note"),
]
