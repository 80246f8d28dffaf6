"""Every algorithm by its name, in the order in which pages show them."""

from engine.estimators.als import ALS
from engine.estimators.base import Estimator
from engine.estimators.content import Content
from engine.estimators.item_knn import ItemKNN
from engine.estimators.popularity import Popularity

ALGORITHMS: dict[str, type[Estimator]] = {each.name: each for each in (Popularity, ItemKNN, ALS, Content)}

__all__ = ["ALGORITHMS", "Estimator"]
