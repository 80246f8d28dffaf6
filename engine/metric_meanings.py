"""What each metric means: its title, its range, and whether more or less of it is better."""

from dataclasses import dataclass
from typing import Literal

Better = Literal["more", "less"]


@dataclass(frozen=True)
class Meaning:
    """says: one sentence with the range, for a page; better: which way is an improvement."""

    title: str
    says: str
    better: Better = "more"


# In the order in which pages list them.
METRICS = {
    "ndcg": Meaning("NDCG", "How near the top the right items stand: 0 none listed, 1 all of them first."),
    "recall": Meaning("Recall", "Share of the held-out choices that the list holds, 0 to 1."),
    "precision": Meaning("Precision", "Share of the list's places that hold a held-out choice, 0 to 1."),
    "f1": Meaning("F1", "Harmonic mean of precision and recall, 0 to 1."),
    "map": Meaning("MAP", "Precision averaged over the places of the right items, 0 to 1."),
    "mrr": Meaning("MRR", "One divided by the place of the first right item, 0 when none is listed."),
    "hit_rate": Meaning("Hit rate", "Share of shoppers whose list holds a held-out choice, 0 to 1."),
    "auc": Meaning(
        "AUC", "Chance that a held-out choice ranks above an item never chosen: 0.5 is a coin, 1 is perfect."
    ),
    "rmse": Meaning(
        "RMSE", "Root of the mean squared error of predicted values, in their unit; 0 is exact.", "less"
    ),
    "mae": Meaning("MAE", "Mean absolute error of predicted values, in their unit; 0 is exact.", "less"),
    "coverage": Meaning("Coverage", "Share of the catalogue that appears in anybody's list, 0 to 1."),
    "diversity": Meaning(
        "Diversity",
        "How little the same shoppers choose a list's items: 0 the same shoppers, 1 none in common.",
    ),
    "category_diversity": Meaning(
        "Diversity of categories", "Share of a list's pairs of items that differ in category, 0 to 1."
    ),
    "novelty": Meaning(
        "Novelty", "Mean self-information of the listed items in bits: 0 means that everybody chose them."
    ),
    "serendipity": Meaning(
        "Serendipity", "Share of the list that is right and no best-seller list would have shown, 0 to 1."
    ),
    "gini": Meaning(
        "Gini of exposure", "How unequally items are listed: 0 all alike, near 1 a few items only.", "less"
    ),
    "arp": Meaning(
        "Popularity of lists (ARP)", "How many shoppers chose a listed item, on average; 0 or more.", "less"
    ),
    "aplt": Meaning(
        "Long tail in lists (APLT)", "Share of a list that is not among the best sellers, 0 to 1."
    ),
    "personalisation": Meaning(
        "Personalisation", "How little two shoppers' lists share: 0 all get the same, 1 nothing in common."
    ),
}


def metric_better(metric: str) -> Better:
    """Say which way "arp@10" improves; a metric that is not known counts as better when it is more."""
    known = METRICS.get(metric.partition("@")[0])
    return "more" if known is None else known.better


def metric_order(metric: str) -> tuple[int, str, int]:
    """Order metrics as they are listed above, each by depth: a sort key of "ndcg@10"."""
    kind, _, k = metric.partition("@")
    known = list(METRICS)
    return known.index(kind) if kind in known else len(known), kind, int(k or 0)
