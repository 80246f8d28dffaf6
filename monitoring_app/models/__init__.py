from monitoring_app.models.alerts import Alert
from monitoring_app.models.consistency import ConsistencyCheck, ConsistencyWatch
from monitoring_app.models.feedback import FeedbackEvent, FeedbackPoint, FeedbackWindow, ListOutcome, Rating
from monitoring_app.models.metrics import Collector, MetricPoint, PairTotals, SourceTotals

__all__ = [
    "Alert",
    "Collector",
    "ConsistencyCheck",
    "ConsistencyWatch",
    "FeedbackEvent",
    "FeedbackPoint",
    "FeedbackWindow",
    "ListOutcome",
    "MetricPoint",
    "PairTotals",
    "Rating",
    "SourceTotals",
]
