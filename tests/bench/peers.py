"""The peers' side of each comparison: implicit, lenskit, Surprise, Spark, asked as their manuals say."""

from typing import Any

import numpy as np
from files import keep, read_matrix, timed


def implicit_als(
    matrix: str, factors: int, iterations: int, alpha: float = 1.0, reg: float = 0.01,
    use_cg: bool = True, out: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    from implicit.cpu.als import AlternatingLeastSquares

    data = read_matrix(matrix)
    model = AlternatingLeastSquares(
        factors=factors, iterations=iterations, alpha=alpha, regularization=reg,
        use_cg=use_cg, num_threads=2, random_state=0,
    )  # fmt: skip
    seconds, _ = timed(lambda: model.fit(data, show_progress=False))
    return keep(out, user_factors=model.user_factors, item_factors=model.item_factors) | {"seconds": seconds}


def implicit_tfidf(matrix: str, neighbours: int) -> dict[str, Any]:
    from implicit.nearest_neighbours import TFIDFRecommender

    data = read_matrix(matrix)
    model = TFIDFRecommender(K=neighbours, num_threads=2)
    return {"seconds": timed(lambda: model.fit(data, show_progress=False))[0]}


def recommend_all(factors: str, seen: str, k: int) -> dict[str, Any]:
    model, matrix = _of_factors(factors), read_matrix(seen)
    users = np.arange(matrix.shape[0])

    def rank(block: int) -> None:
        for start in range(0, len(users), block):
            asked = users[start : start + block]
            model.recommend(asked, matrix[asked], N=k, filter_already_liked_items=True)

    rank(8192)
    return {
        "per_second": len(users) / min(timed(lambda block=block: rank(block))[0] for block in (1024, 8192))
    }


def recommend_one(factors: str, seen: str, k: int, users: list[int]) -> dict[str, Any]:
    model, matrix = _of_factors(factors), read_matrix(seen)
    rows = [matrix[user] for user in users]
    model.recommend(users[0], rows[0], N=k)
    times = [
        timed(lambda user=user, row=row: model.recommend(user, row, N=k))[0]
        for user, row in zip(users, rows, strict=True)
    ]
    return {"seconds": float(np.percentile(times, 99))}


def lenskit_als(matrix: str, factors: int, out: str | None = None) -> dict[str, Any]:
    import pandas as pd
    from lenskit.als import ImplicitMFScorer
    from lenskit.data import from_interactions_df

    data = read_matrix(matrix)
    pairs = data.tocoo()
    dataset = from_interactions_df(pd.DataFrame({"user_id": pairs.row, "item_id": pairs.col}))
    model = ImplicitMFScorer(embedding_size=factors)
    seconds, _ = timed(lambda: model.train(dataset))
    users, items = (np.zeros((size, factors), np.float32) for size in data.shape)
    users[model.users.ids()] = model.user_embeddings
    items[model.items.ids()] = model.item_embeddings
    return keep(out, user_factors=users, item_factors=items) | {"seconds": seconds}


def surprise_svd(matrix: str, test: str, factors: int, epochs: int) -> dict[str, Any]:
    import pandas as pd
    from surprise import SVD, Dataset, Reader

    data, held_out = read_matrix(matrix).tocoo(), read_matrix(test).tocoo()
    frame = pd.DataFrame({"user": data.row, "item": data.col, "rating": data.data})
    scale = float(data.data.min()), float(data.data.max())
    train = Dataset.load_from_df(frame, Reader(rating_scale=scale)).build_full_trainset()
    model = SVD(n_factors=factors, n_epochs=epochs, random_state=0)
    seconds, _ = timed(lambda: model.fit(train))
    found = [model.predict(u, i, clip=False).est for u, i in zip(held_out.row, held_out.col, strict=True)]
    return {"seconds": seconds, "rmse": float(np.sqrt(np.mean(np.square(np.array(found) - held_out.data))))}


def spark_als(matrix: str, factors: int, iterations: int, alpha: float, reg: float) -> dict[str, Any]:
    from pyspark.ml.recommendation import ALS
    from pyspark.sql import SparkSession

    pairs = read_matrix(matrix).tocoo()
    local = {
        "spark.driver.memory": "6g",
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in local.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    rows = list(zip(pairs.row.tolist(), pairs.col.tolist(), pairs.data.tolist(), strict=True))
    frame = spark.createDataFrame(rows, ["user", "item", "rating"]).cache()
    frame.count()
    model = ALS(rank=factors, maxIter=iterations, alpha=alpha, regParam=reg, implicitPrefs=True, seed=0)
    model.setUserCol("user").setItemCol("item").setRatingCol("rating")
    seconds, _ = timed(lambda: model.fit(frame))
    spark.stop()
    return {"seconds": seconds}


def _of_factors(path: str) -> Any:
    from implicit.cpu.als import AlternatingLeastSquares

    with np.load(path, allow_pickle=False) as stored:
        users, items = stored["user_factors"], stored["item_factors"]
    model = AlternatingLeastSquares(factors=users.shape[1], num_threads=2)
    model.user_factors, model.item_factors = users, items
    return model


JOBS = {
    "implicit_als": implicit_als,
    "implicit_tfidf": implicit_tfidf,
    "recommend_all": recommend_all,
    "recommend_one": recommend_one,
    "lenskit_als": lenskit_als,
    "surprise_svd": surprise_svd,
    "spark_als": spark_als,
}
