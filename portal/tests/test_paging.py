"""Lists come in pages, and a list refuses parameters that it does not know."""

from urllib.parse import quote

import pytest

from models_app.models import Dataset
from portal.tests.calls import check_problem

pytestmark = pytest.mark.django_db

LISTS = [
    "datasets", "training-runs", "models", "model-versions", "environments", "deployments", "releases",
    "promotions", "rollouts", "audit-events", "members",
]  # fmt: skip


@pytest.fixture
def datasets(shop):
    return [Dataset.objects.create(shop=shop, name=f"d{number}") for number in range(7)]


def test_pages_follow_each_other_without_a_gap_or_a_repetition(program, datasets):
    seen, token, answers = [], "", 0
    while token is not None:
        answer = program.get(f"datasets?page_size=3{f'&page_token={quote(token)}' if token else ''}")
        body = answer.json()
        assert set(body) == {"results", "next_page_token"}
        assert (body["next_page_token"] is not None) is ('rel="next"' in answer.headers.get("Link", ""))
        seen += [row["id"] for row in body["results"]]
        token, answers = body["next_page_token"], answers + 1
    assert answers == 3
    assert seen == [row.pk for row in reversed(datasets)]


def test_rows_that_come_in_between_do_not_shift_a_page(program, shop, datasets):
    first = program.get("datasets?page_size=3").json()
    Dataset.objects.create(shop=shop, name="late")
    second = program.get(f"datasets?page_size=3&page_token={quote(first['next_page_token'])}").json()
    assert [row["id"] for row in second["results"]] == [row.pk for row in reversed(datasets)][3:6]


@pytest.mark.parametrize(
    "size",
    ["0", "-1", "201", "1e2", "10000000000000000000000", "ten", "", "٣", "%00", "1.0", "0" * 8 + "1" * 5000],
)
def test_a_page_size_outside_1_to_200_is_400(program, size):
    check_problem(program.get(f"datasets?page_size={size}"), 400)


@pytest.mark.parametrize("size", [1, 200])
def test_a_page_size_of_1_and_of_200_is_fine(program, datasets, size):
    assert len(program.get(f"datasets?page_size={size}").json()["results"]) == min(size, 7)


@pytest.mark.parametrize(
    "token", ["x", "%00", "cD0yMDI2", "cD1ub3QtYS1kYXRl", "bz1hYmM=", "p" * 5000, "%F0%9F%9B%92"]
)
def test_a_page_token_that_nobody_gave_out_is_400_or_404(program, datasets, token):
    answer = program.get(f"datasets?page_token={token}")
    assert answer.status_code in (400, 404), (answer.status_code, answer.content[:200])
    check_problem(answer, answer.status_code)


@pytest.mark.parametrize("path", LISTS)
def test_a_list_refuses_parameters_that_it_does_not_know(program, path):
    assert program.get(path).status_code == 200
    problem = check_problem(program.get(f"{path}?order_by=password"), 400)
    assert "order_by" in problem["detail"]
    check_problem(program.get(f"{path}?shop__slug=other"), 400)


@pytest.mark.parametrize("path", ["audit-events?verb=%00", "promotions?status=%00", "rollouts?kind=%00",
                                  "releases?deployment=%00", "model-versions?model=%00"])  # fmt: skip
def test_a_nul_in_a_parameter_is_refused_and_breaks_nothing(program, path):
    answer = program.get(path)
    check_problem(answer, 400 if answer.status_code == 400 else 404)
