"""Search for an algorithm's best setting on validation folds; the test part is looked at once, at the end."""

from engine.search.config import SearchConfig, validation_folds
from engine.search.final import FinalTest, judge_winner
from engine.search.findings import Findings, best_of, goodness, pareto_front
from engine.search.journal import Trial
from engine.search.runner import search
from engine.search.space import search_space

__all__ = [
    "FinalTest", "Findings", "SearchConfig", "Trial", "best_of", "goodness", "judge_winner", "pareto_front",
    "search", "search_space", "validation_folds",
]  # fmt: skip
