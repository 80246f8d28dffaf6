from monitoring_app.models.feedback import FeedbackEvent, FeedbackPoint, FeedbackWindow, ListOutcome, Rating
from monitoring_app.models.metrics import Collector, MetricPoint, SourceTotals

__all__ = [
    "Collector",
    "FeedbackEvent",
    "FeedbackPoint",
    "FeedbackWindow",
    "ListOutcome",
    "MetricPoint",
    "Rating",
    "SourceTotals",
]
