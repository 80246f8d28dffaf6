"""Every algorithm by its name, in the order in which pages show them."""

from engine.estimators.als import ALS
from engine.estimators.base import Estimator
from engine.estimators.biased_mf import BiasedMF
from engine.estimators.bpr import BPR
from engine.estimators.compact_neighbours import compact
from engine.estimators.compressed_factors import compressed
from engine.estimators.content import Content
from engine.estimators.ease import EASE
from engine.estimators.factors import FactorModel
from engine.estimators.hybrid import Hybrid
from engine.estimators.item_graph import ItemGraph
from engine.estimators.item_knn import ItemKNN
from engine.estimators.neighbours import NeighbourModel
from engine.estimators.popularity import Popularity
from engine.estimators.popularity_category import PopularityCategory
from engine.estimators.popularity_recent import PopularityRecent
from engine.estimators.pure_svd import PureSVD
from engine.estimators.user_knn import UserKNN

ALGORITHMS: dict[str, type[Estimator]] = {
    each.name: each
    for each in (
        Popularity,
        PopularityRecent,
        PopularityCategory,
        ItemKNN,
        UserKNN,
        ItemGraph,
        EASE,
        ALS,
        PureSVD,
        BPR,
        BiasedMF,
        Content,
        Hybrid,
    )
}

# What an artifact may hold: smaller variants too, which `engine.compression` makes and nobody can train.
SMALLER: list[type[Estimator]] = [
    compressed(each) for each in ALGORITHMS.values() if issubclass(each, FactorModel)
]
SMALLER += [compact(each) for each in ALGORITHMS.values() if issubclass(each, NeighbourModel)]
LOADABLE = ALGORITHMS | {each.name: each for each in SMALLER}

__all__ = ["ALGORITHMS", "LOADABLE"]
