"""The peer's side of the model server's rows: the same factors behind Flask, as its manual has it.

`gunicorn --threads 4 'flask_peer:make()'`, BENCH_MODEL names the file of arrays.
"""

import os

import numpy as np
from flask import Flask, jsonify, request


def make() -> Flask:
    stored = np.load(os.environ["BENCH_MODEL"], allow_pickle=False)
    users_of, items_of, indptr, seen = (stored[name] for name in ("users", "items", "indptr", "seen"))
    positions = {f"u{at}": at for at in range(len(users_of))}
    names = [f"i{at}" for at in range(len(items_of))]
    app = Flask(__name__)

    @app.get("/health")
    def health() -> str:
        return "ok"

    @app.get("/recommendations")
    def recommendations() -> object:
        user, k = positions[request.args["user"]], int(request.args["k"])
        scores = items_of @ users_of[user]
        scores[seen[indptr[user] : indptr[user + 1]]] = -np.inf
        best = np.argpartition(scores, -k)[-k:]
        best = best[np.argsort(-scores[best])]
        return jsonify(items=[{"item_id": names[at], "score": float(scores[at])} for at in best])

    return app
