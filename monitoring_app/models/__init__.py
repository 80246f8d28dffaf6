from monitoring_app.models.metrics import ArmTotals, MetricPoint

__all__ = ["ArmTotals", "MetricPoint"]
