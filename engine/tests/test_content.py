"""Content keeps the contract, agrees with scikit-learn and finds items that nobody has bought yet."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer

from engine.estimators.base import Context
from engine.estimators.content import Content, ContentConfig
from engine.estimators.item_text import describe_items, find_words
from engine.items import ItemFacts
from engine.synthetic import make_shop
from engine.testing import EstimatorContract, random_matrix

NAN = float("nan")


def parity_facts(n_items: int) -> ItemFacts:
    """Say of each item which parity it has and, in a word of its own and a neighbour's, which it is."""
    titles = [f"{('even', 'odd')[at % 2]} {at // 4} {at // 6}" for at in range(n_items)]
    return ItemFacts.of(titles, ["a", "b"] * (n_items // 2) + ["a"] * (n_items % 2), np.arange(n_items) % 7.0)


class TestContent(EstimatorContract):
    algorithm = Content
    config = ContentConfig(price_weight=0.0)

    def context(self, matrix: sp.csr_matrix) -> Context:
        return Context(items=parity_facts(matrix.shape[1]))


class TestContentWithValues(TestContent):
    config = ContentConfig(values="confidence", min_items=1, price_weight=0.0)


def titled(*titles: str) -> ItemFacts:
    return ItemFacts.of(titles, [None] * len(titles), [NAN] * len(titles))


def test_an_item_nobody_has_bought_comes_first_when_its_title_is_like_the_history() -> None:
    facts = titled("Linen apron", "Linen napkin", "Brass lamp", "Brass bowl", "Linen apron, napkin")
    bought = sp.csr_matrix(np.array([[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]], np.float32))
    found = Content().fit(bought, context=Context(items=facts)).recommend(np.arange(1), 2, seen=bought[:1])
    assert found.items.tolist() == [[4, -1]]


def test_words_weigh_as_scikit_learn_weighs_them() -> None:
    facts = make_shop(n_users=50, n_items=300, n_interactions=500).facts
    reference = TfidfVectorizer(token_pattern=r"\w+", min_df=2).fit_transform(facts.titles.to_list())
    found = describe_items(facts, min_items=2, category_weight=0, price_weight=0)
    np.testing.assert_allclose((found @ found.T).toarray(), (reference @ reference.T).toarray(), atol=1e-6)


def test_the_order_is_that_of_the_cosine_to_the_mean_of_the_history() -> None:
    shop = make_shop(n_users=60, n_items=200, n_interactions=900)
    matrix = shop.interactions.matrix()
    model = Content().fit(matrix, context=Context(items=shop.facts))
    traits = model.traits_.toarray().astype(float)
    for user in range(0, 60, 7):
        mean = traits[matrix[user].indices].mean(axis=0)
        cosines = traits @ mean / (np.linalg.norm(mean) * np.linalg.norm(traits, axis=1))
        found = model.recommend(np.array([user]), 20)
        np.testing.assert_allclose(cosines[found.items[0]], np.sort(cosines)[::-1][:20], atol=1e-6)
        np.testing.assert_allclose(
            model.profile_lengths_[user], np.linalg.norm(mean) * matrix[user].nnz, rtol=1e-5
        )


def test_similar_users_are_those_with_the_smallest_angle_between_profiles() -> None:
    shop = make_shop(n_users=60, n_items=200, n_interactions=900)
    matrix = shop.interactions.matrix()
    model = Content().fit(matrix, context=Context(items=shop.facts))
    profiles = matrix.astype(bool).astype(float).toarray() @ model.traits_.toarray()
    unit = profiles / np.linalg.norm(profiles, axis=1)[:, None]
    expected = unit @ unit.T
    np.fill_diagonal(expected, -1)
    found = model.similar_users(np.arange(60), 5)
    np.testing.assert_allclose(found.scores, -np.sort(-expected)[:, :5], atol=1e-5)


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Crème brûlée, 2 cups", ["creme", "brulee", "2", "cups"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("Ёлка", ["елка"]),
        ("棉质毛巾", ["棉质", "质毛", "毛巾"]),
        ("ガラスgrün", ["ガラ", "ラス", "grun"]),
        ("हिन्दी किताब", ["हिन्दी", "किताब"]),
        ("한국어", ["한국어"]),
        ("🪑 — !", []),
        ("", []),
    ],
)
def test_titles_are_split_into_folded_words(title: str, words: list[str]) -> None:
    assert find_words(title) == words


def test_composed_and_decomposed_accents_are_one_word() -> None:
    assert find_words("caf\u00e9") == find_words("cafe\u0301") == ["cafe"]


def test_near_prices_are_more_alike_than_far_ones() -> None:
    prices = [float(price) for price in range(10, 90)]
    facts = ItemFacts.of(["thing"] * 80, [None] * 80, [*prices[:79], NAN])
    found = describe_items(facts, min_items=1, category_weight=0, price_weight=1)
    likeness = (found @ found[0].T).toarray().ravel()
    assert (np.diff(likeness[:79]) <= 1e-6).all()
    assert likeness[1] > 0.9
    assert likeness[40] == pytest.approx(0.5)  # the title alone


def test_an_item_of_which_nothing_is_known_is_like_nothing() -> None:
    matrix = random_matrix(3, n_users=4, n_items=3, density=0.7)
    model = Content().fit(matrix, context=Context(items=titled("red cup", "", "red bowl")))
    assert (model.similar_items(np.array([1]), 2).items == -1).all()
    assert model.similar_items(np.array([0]), 2).items.tolist() == [[2, -1]]


def test_it_cannot_do_without_facts_of_the_items() -> None:
    with pytest.raises(ValueError, match="needs facts of the items"):
        Content().fit(random_matrix(0))
