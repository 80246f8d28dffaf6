"""Loads an artifact for MLflow: `mlflow.pyfunc.load_model(folder)` calls `_load_pyfunc` of this module.

It answers as the model server does: what a shopper has is left out, and who is not known gets what is
popular. Only this module needs pandas, and only once somebody asks.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.artifacts import load_artifact
from engine.mlflow_layout import DEFAULT_K
from engine.serving.model import ServedModel
from engine.serving.ranking import Ranker
from engine.serving.requests import K_MAX, Wanted

if TYPE_CHECKING:
    import pandas as pd

USERS_AT_ONCE = 1024


class AisleModel:
    """A served model that takes and gives data frames."""

    def __init__(self, folder: Path) -> None:
        self.model = ServedModel(load_artifact(folder))
        self._ranker = Ranker(self.model)

    def predict(self, model_input: "pd.DataFrame", params: Mapping[str, Any] | None = None) -> "pd.DataFrame":
        """Recommend for each row's `user`: columns user, item, score, rank (from 1), best first.

        params: {"k": how many items a user, 1 to 100}. Raises ValueError for another k or without `user`.
        """
        import pandas as pd

        k = int((params or {}).get("k", DEFAULT_K))
        if not 1 <= k <= K_MAX:
            raise ValueError(f"k must be 1 to {K_MAX}; got {k}")
        if "user" not in model_input:
            raise ValueError("the input needs a column named user")
        users = [str(user) for user in model_input["user"]]
        item_ids = self.model.artifact.item_ids
        rows: list[tuple[str, str, float, int]] = []
        for start in range(0, len(users), USERS_AT_ONCE):
            block = users[start : start + USERS_AT_ONCE]
            for user, found in zip(block, self._ranker.recommend_all(block, Wanted(k=k)), strict=True):
                pairs = zip(found.items, found.scores, strict=True)
                rows += [
                    (user, item_ids[item], float(score), rank) for rank, (item, score) in enumerate(pairs, 1)
                ]
        return pd.DataFrame(rows, columns=["user", "item", "score", "rank"])


def _load_pyfunc(path: str) -> AisleModel:
    return AisleModel(Path(path))
