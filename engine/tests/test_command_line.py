"""`python -m engine` on real files, run as a data scientist would."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.artifacts import load_artifact
from engine.command_line import COMMANDS, build_parser, main
from engine.commands.files import read_interactions
from engine.serving.model import ServedModel
from engine.serving.ranking import Ranker
from engine.serving.requests import Wanted
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
    light = next(each for each in found["segments"] if each["name"] == "light")
    assert light["metrics"]["ndcg@20"]["value"] > 0
    assert [each["name"] for each in found["segments"]] == ["new", "light", "heavy", "head", "tail"]
    assert found["gaps"]["metric"] == "ndcg@20"
    assert found["gaps"]["shoppers"]["groups"]["light"]["n"] == light["n"]
    assert found["gaps"]["sellers"] is None
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "NDCG@10" in said
    assert "Light shoppers (5 to 19 choices)" in said


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
        (["--k", "0"], "k must be at least 1, not 0"),
        (["--k", "5", "--k", "-3"], "k must be at least 1, not -3"),
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


ROWS = [("a", "x", 3, 1_700_000_000), ("b", "y", 5, 1_700_000_100), ("a", "y", 1, 1_700_000_200)]


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("user,item,rating,timestamp", "uivt"),
        ("timestamp,rating,item_id,user_id", "tviu"),
        ("user,item,timestamp", "uit"),
        ("kunde,artikel,note,datum", "uivt"),
        ("kunde,item,timestamp,note", "uit-"),
        ("user,item,price", "ui-"),
        ("", "uivt"),
    ],
)
def test_columns_are_what_the_header_says_and_otherwise_by_place(
    tmp_path: Path, header: str, columns: str
) -> None:
    given = [dict(zip("uivt-", (*row, 7.5), strict=True)) for row in ROWS]
    path = tmp_path / "file.csv"
    path.write_text(
        "".join(f"{line}\n" for line in [header] if line)
        + "".join(",".join(str(row[each]) for each in columns) + "\n" for row in given)
    )
    read = read_interactions(path)
    assert [read.user_ids[at] for at in read.users] == ["a", "b", "a"]
    assert [read.item_ids[at] for at in read.items] == ["x", "y", "y"]
    assert read.values.tolist() == [row["v"] if "v" in columns else 1 for row in given]
    assert (read.times is None) == ("t" not in columns)
    assert read.times is None or read.times.tolist() == [row["t"] for row in given]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("item,kunde\nx,a\ny,b\n", "line 1: The first column, where the user is expected, is “item”."),
        ("kunde,rating\na,3\nb,4\n", "The second column, where the item is expected, is “rating”."),
        ("a,x,1700000000\nb,y,1700000100\n", "where the value is expected, holds times. Name the columns"),
    ],
)
def test_columns_that_contradict_their_place_are_refused_with_the_remedy(
    tmp_path: Path, text: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "odd.csv"
    path.write_text(text)
    assert main(["evaluate", "--train", str(path), "--test", str(path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("engine: odd.csv: line 1: ")
    assert sentence in said
    assert "user,item,value,time" in said


def test_help_has_examples_and_a_warmed_process_compiles_nothing() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "engine", "--help"], capture_output=True, text=True, check=True
    )
    assert "python -m engine evaluate --train" in told.stdout
    count_misses = (
        "from engine.warmup import warm_up; warm_up()\n"
        "from engine import topk\n"
        "from engine.estimators import als_kernel, nearest\n"
        "kernels = [topk.mask, topk.offer, topk.finish, nearest.find_neighbours, nearest.add_neighbours]\n"
        "kernels += [als_kernel.solver(width) for width in (16, 32, 64, 128)]\n"
        "print(sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels),"
        " all(kernel.stats.cache_hits for kernel in kernels))\n"
    )
    run = [sys.executable, "-c", count_misses]
    subprocess.run(run, capture_output=True, check=True)
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.split() == ["0", "True"]


def test_a_model_kept_by_fit_recommends_and_compares_as_the_file_does(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, folder = str(files[0]), str(tmp_path / "model")
    assert main(["fit", "--train", train, "--algorithm", "item_knn", "--out", folder]) == 0
    assert "digest" in capsys.readouterr().out
    user, item = files[0].read_text().splitlines()[1].split(",")[:2]
    for asked in (["recommend", "--user", user], ["similar", "--item", item]):
        assert main([*asked, "--model", folder, "--k", "3"]) == 0
        kept = capsys.readouterr().out
        assert kept.count("\n") == 3
        assert main([*asked, "--train", train, "--algorithm", "item_knn", "--k", "3"]) == 0
        assert capsys.readouterr().out == kept
    assert main(["similar", "--model", folder, "--item", "nothing"]) == 1
    assert "there is no item 'nothing'" in capsys.readouterr().err
    for asked in (["recommend", "--user", user], ["similar", "--item", item]):
        assert main([*asked, "--model", folder, "--k", "0"]) == 1
        assert "k must be at least 1" in capsys.readouterr().err
    assert main(["similar", "--item", item]) == 1
    assert "--model FOLDER or --train FILE" in capsys.readouterr().err
    assert main(["fit", "--train", train, "--out", folder]) == 1
    assert "name a new folder" in capsys.readouterr().err


def test_what_generate_writes_can_be_evaluated_with_items_and_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "shop")
    assert main(["generate", "--users", "80", "--items", "40", "--interactions", "700", "--out", out]) == 0
    told = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert told[f"{out}/interactions.csv"] == "700 interactions"
    assert len((tmp_path / "shop/items.csv").read_text().splitlines()) == 41
    pair = ["--train", f"{out}/train.csv", "--test", f"{out}/test.csv"]
    assert main(["evaluate", *pair, "--algorithm", "content", "--items", f"{out}/items.csv", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"]["ndcg@10"]["value"] > 0
    assert {each["kind"] for each in found["segments"]} == {"shoppers", "items", "category"}
    assert found["gaps"]["sellers"]["n_labels"] == len(found["gaps"]["sellers"]["labels"]) > 3
    assert main(["evaluate", *pair, "--algorithm", "content", "--items", f"{out}/items.csv"]) == 0
    said = capsys.readouterr().out
    assert "Long tail" in said
    assert re.search(r"sellers +0\.\d{4}  \S.*: [\d.]+% of the items, [\d.]+% of the exposure", said)
    assert main(["evaluate", *pair, "--algorithm", "content"]) == 1
    assert "needs facts of the items" in capsys.readouterr().err


def test_compress_measures_variants_and_keeps_one_that_is_served(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test, small = str(files[0]), str(files[1]), tmp_path / "small"
    asked = ["compress", "--train", train, "--test", test, "--algorithm", "als", "--set", "factors=16"]
    assert main([*asked, "--most-loss", "0.5", "--out", str(small), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    by_name = {each["variant"]: each for each in found["variants"]}
    assert list(by_name) == ["float32", "float16", "int8", "rank=8", "int8,rank=8"]
    assert by_name["int8"]["size_bytes"] < 0.4 * by_name["float32"]["size_bytes"]
    assert by_name["int8"]["ndcg"]["low"] < by_name["int8"]["ndcg"]["value"]
    assert by_name["int8"]["p50_ms"] > 0
    assert found["kept"]["variant"] == "int8,rank=8"
    kept = load_artifact(small, found["kept"]["digest"])
    assert kept.algorithm == "als_compressed"
    assert kept.metrics["ndcg@10"] == by_name["int8,rank=8"]["ndcg"]
    user = kept.user_ids[0]
    ranked = Ranker(ServedModel(kept)).recommend_all([user], Wanted(k=4))[0]
    assert main(["recommend", "--model", str(small), "--user", user, "--k", "4"]) == 0
    told = [line.split("\t")[2] for line in capsys.readouterr().out.splitlines()]
    assert told == [kept.item_ids[at] for at in ranked.items]
    assert main([*asked, "--variant", "float16"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["variant", "float32", "float16"]


def test_compress_makes_a_kept_model_smaller_and_measures_it_on_later_choices_alone(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test, model = str(files[0]), str(files[1]), str(tmp_path / "model")
    assert main(["fit", "--train", train, "--algorithm", "item_knn", "--out", model]) == 0
    capsys.readouterr()
    small = str(tmp_path / "small")
    keep = ["--keep", "float16,neighbours=5", "--out", small]
    assert main(["compress", "--model", model, *keep]) == 0
    assert capsys.readouterr().out.startswith(f"Kept float16,neighbours=5 in {small}: ")
    assert load_artifact(tmp_path / "small").algorithm == "item_knn_compact"
    assert main(["compress", "--model", model, "--test", test, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["test_users"] > 100
    assert found["kept"] is None
    for wrong, sentence in (
        (["--model", model, *keep], "name a new folder"),
        (["--model", model, "--test", train], "that it did not learn from"),
        (["--model", model], "give --test FILE to measure on, or --keep VARIANT"),
        (["--model", model, "--keep", "int8", "--out", str(tmp_path / "no")], "can keep fewer neighbours"),
        (["--train", train, "--test", test, "--algorithm", "popularity"], "no factors and no neighbours"),
    ):
        assert main(["compress", *wrong]) == 1
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_search_tells_its_winner_and_looks_at_the_test_part_once(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["search", "--train", str(files[0]), "--algorithm", "popularity", "--folds", "2", "--trials", "6"]
    assert main([*asked, "--method", "random", "--journal", str(tmp_path / "journal")]) == 0
    said = capsys.readouterr().out
    assert "chosen on validation: count=" in said
    assert "Test part, looked at once. Held out at random" in said
    assert main([*asked, "--test", str(files[1]), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["search"]["measured_on"] == "validation"
    assert found["test"]["measured_on"] == "test, once"
    assert main([*asked, "--trials", "0"]) == 1
    assert "trials must be between 1 and 1000" in capsys.readouterr().err


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_examples_that_its_own_parser_takes(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    examples = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("  python -m engine")
    ]
    assert examples
    for example in examples:
        words = example.split()[3:]
        build_parser(words).parse_args(words)


def test_help_loads_no_numeric_library() -> None:
    loaded = "import sys; from engine.command_line import build_parser; build_parser(['--help']); "
    loaded += "print([name for name in ('numpy', 'scipy', 'numba', 'optuna') if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_a_closed_pipe_and_an_interrupt_end_without_a_trace(files: tuple[Path, Path]) -> None:
    asked = [sys.executable, "-m", "engine", "similar", "--train", str(files[0]), "--algorithm", "popularity"]
    asked += ["--k", "150"] + [word for _ in range(300) for word in ("--item", _an_item(files[0]))]
    gone = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert gone.stdout is not None
    gone.stdout.close()
    assert gone.stderr is not None
    assert gone.stderr.read() == b""
    assert gone.wait() == 141
    gone.stderr.close()
    stop = "import engine.command_line as c\ndef run(asked): raise KeyboardInterrupt\nc.run = run\n"
    stop += f"import sys; sys.exit(c.main({['similar', '--train', 'x', '--item', 'y']!r}))"
    stopped = subprocess.run([sys.executable, "-c", stop], capture_output=True, check=False)
    assert (stopped.returncode, stopped.stderr) == (130, b"")


def _an_item(path: Path) -> str:
    return path.read_text().splitlines()[1].split(",")[1]
