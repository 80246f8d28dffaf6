"""The peer's side of the model server's rows: the same factors behind BentoML, as its manual has it.

`bentoml serve bento_peer:Recommender`, BENCH_MODEL names the file of arrays.
"""

import os

import bentoml
import numpy as np


@bentoml.service(workers=1)
class Recommender:
    def __init__(self) -> None:
        stored = np.load(os.environ["BENCH_MODEL"], allow_pickle=False)
        self.users_of, self.items_of = stored["users"], stored["items"]
        self.indptr, self.seen = stored["indptr"], stored["seen"]
        self.positions = {f"u{at}": at for at in range(len(self.users_of))}

    @bentoml.api
    def recommendations(self, user: str, k: int = 10) -> dict:
        at = self.positions[user]
        scores = self.items_of @ self.users_of[at]
        scores[self.seen[self.indptr[at] : self.indptr[at + 1]]] = -np.inf
        best = np.argpartition(scores, -k)[-k:]
        best = best[np.argsort(-scores[best])]
        return {"items": [{"item_id": f"i{item}", "score": float(scores[item])} for item in best]}
