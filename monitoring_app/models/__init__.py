from monitoring_app.models.metrics import Collector, MetricPoint, SourceTotals

__all__ = ["Collector", "MetricPoint", "SourceTotals"]
