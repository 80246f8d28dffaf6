"""`python -m engine` on real files, run as a data scientist would."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.command_line import main
from engine.splitting import SplitConfig, split
from engine.synthetic import make_shop


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Write a train file with a header and a gzipped test file without one."""
    folder = tmp_path_factory.mktemp("files")
    shop = make_shop(n_users=300, n_items=150, n_interactions=6_000).interactions
    parts = split(shop, SplitConfig())
    paths = folder / "train.csv", folder / "test.csv.gz"
    for path, matrix, header in ((paths[0], parts.train, "user,item\n"), (paths[1], parts.test, "")):
        pairs = matrix.tocoo()
        lines = header + "".join(
            f"{shop.user_ids[u]},{shop.item_ids[i]}\n" for u, i in zip(pairs.row, pairs.col, strict=True)
        )
        path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())
    return paths


def test_evaluate_prints_one_json_object_with_every_figure(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = map(str, files)
    asked = ["evaluate", "--train", train, "--test", test, "--algorithm", "als", "--set", "factors=16"]
    assert main([*asked, "--k", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["config"]["factors"] == 16
    shoppers = {line.split(",")[0] for line in files[0].read_text().splitlines()[1:]}
    assert (found["users"], found["items"]) == (len(shoppers), 150)
    assert found["train_interactions"] + found["test_interactions"] <= 6_000
    assert found["fit_seconds"] > 0
    assert found["peak_memory_bytes"] > 10_000_000
    assert found["metrics"]["ndcg@20"]["low"] < found["metrics"]["ndcg@20"]["value"]
    assert main(asked) == 0
    assert "NDCG@10" in capsys.readouterr().out


def test_recommend_prints_lists_without_what_the_user_has(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    user = files[0].read_text().splitlines()[1].split(",")[0]
    owned = {line.split(",")[1] for line in files[0].read_text().splitlines() if line.startswith(user)}
    assert (
        main(["recommend", "--train", str(files[0]), "--algorithm", "item_knn", "--user", user, "--k", "4"])
        == 0
    )
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows] == [[user, str(place)] for place in range(1, 5)]
    assert not {row[2] for row in rows} & owned


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--set", "factors=1"], "factors must be between 8 and 1024"),
        (["--set", "size=1"], "There is no setting 'size'"),
        (["--test", "nowhere.csv"], "No such file"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_status_1(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str], more: list[str], sentence: str
) -> None:
    assert main(["evaluate", "--train", str(files[0]), "--test", str(files[1]), *more]) == 1
    said = capsys.readouterr().err
    assert said.startswith("engine: ")
    assert sentence in said
    assert said.count("\n") == 1


def test_a_broken_line_is_named(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.csv"
    broken.write_text("user,item,value\na,x,1\nb,y,many\na,y,2\n")
    assert main(["evaluate", "--train", str(broken), "--test", str(files[1])]) == 1
    assert "broken.csv: 1 bad lines; line 3:" in capsys.readouterr().err


def test_help_has_examples_and_a_warmed_process_compiles_nothing() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "engine", "--help"], capture_output=True, text=True, check=True
    )
    assert "python -m engine evaluate --train" in told.stdout
    count_misses = (
        "from engine.warmup import warm_up; warm_up()\n"
        "from engine import topk\n"
        "from engine.estimators import als_kernel, nearest\n"
        "kernels = [topk.mask, topk.select_top, nearest.find_neighbours, nearest.add_neighbours]\n"
        "kernels += [als_kernel.solver(width) for width in (16, 32, 64, 128)]\n"
        "print(sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels),"
        " all(kernel.stats.cache_hits for kernel in kernels))\n"
    )
    run = [sys.executable, "-c", count_misses]
    subprocess.run(run, capture_output=True, check=True)
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.split() == ["0", "True"]
