"""Rules about the source that no linter of ours knows: what could run a stranger's bytes is not in it."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("portal", "models_app", "deployments_app", "monitoring_app", "engine")
SOURCES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "tests" not in path.parts and "migrations" not in path.parts
)

FORBIDDEN_MODULES = {
    "pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "torch", "yaml",
    "xml.etree", "lxml", "telnetlib", "ftplib",
}  # fmt: skip
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_METHODS = {"raw", "extra"}  # of a queryset: SQL by hand
FORBIDDEN_OPTIONS = {"allow_pickle": True, "shell": True, "verify": False}
# Every one escapes what it is given, or holds nothing that came from outside.
MARKS_SAFE = {"portal/core/templatetags/ui.py", "portal/core/chart_data.py"}


def names_of(call: ast.Call) -> str:
    """The called thing as written: `numpy.load`, `Shop.objects.all`."""
    return ast.unparse(call.func)


@cache
def trees() -> dict[str, ast.Module]:
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in SOURCES}


def find(kind: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, kind):
                yield path, node


def places(found: Iterator[tuple[str, ast.AST]]) -> list[str]:
    return [f"{path}:{node.lineno}: {ast.unparse(node)[:80]}" for path, node in found]


def test_there_is_something_to_look_at():
    assert len(SOURCES) > 150
    assert "portal/core/transitions.py" in trees()


def test_nothing_that_can_run_code_from_a_file_is_imported():
    def imported(node: ast.AST) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        return [node.module or ""] if isinstance(node, ast.ImportFrom) else []

    found = [
        (path, node)
        for path, node in find(ast.AST)
        for name in imported(node)
        if any(name == each or name.startswith(f"{each}.") for each in FORBIDDEN_MODULES)
    ]
    assert not places(iter(found))


def test_no_text_is_run_as_code():
    found = ((path, node) for path, node in find(ast.Call) if names_of(node) in FORBIDDEN_CALLS)
    assert not places(found)


def test_no_call_takes_pickles_shells_or_unverified_peers():
    found = (
        (path, node)
        for path, node in find(ast.Call)
        for option in node.keywords
        if option.arg in FORBIDDEN_OPTIONS
        and isinstance(option.value, ast.Constant)
        and option.value.value is FORBIDDEN_OPTIONS[option.arg]
        and names_of(node) != "load_artifact"  # its `verify` is about digests, of a file that we wrote
    )
    assert not places(found)


def test_every_load_of_an_array_says_that_it_takes_no_pickle():
    found = (
        (path, node)
        for path, node in find(ast.Call)
        if names_of(node) in ("np.load", "numpy.load", "np.lib.format.read_array")
        and not any(option.arg == "allow_pickle" for option in node.keywords)
    )
    assert not places(found)


def test_no_queryset_is_written_in_sql_by_hand():
    found = (
        (path, node)
        for path, node in find(ast.Call)
        if isinstance(node.func, ast.Attribute)
        and node.func.attr in FORBIDDEN_METHODS
        and not path.startswith("engine/")
    )
    assert not places(found)


def test_sql_is_never_put_together_from_values():
    """What `execute` is given is a constant, or psycopg's own composition, never an f-string or `%`."""
    found = (
        (path, node)
        for path, node in find(ast.Call)
        if isinstance(node.func, ast.Attribute)
        and node.func.attr in ("execute", "executemany")
        and node.args
        and isinstance(node.args[0], (ast.JoinedStr, ast.BinOp))
    )
    assert not places(found)


def test_text_is_marked_safe_only_where_it_was_looked_at():
    found = (
        (path, node)
        for path, node in find(ast.Call)
        if names_of(node).rpartition(".")[2] in ("mark_safe", "SafeString") and path not in MARKS_SAFE
    )
    assert not places(found)
    autoescape = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "templates").rglob("*.html")
        if re.search(r"\|\s*safe\b|autoescape off|safeseq", path.read_text())
    ]
    assert not autoescape


def test_views_begin_at_selectors_that_know_the_shop():
    def is_view(path: str) -> bool:
        return "/views" in path or "/api/" in path or path.endswith(("api.py", "views.py"))

    found = (
        (path, node)
        for path, node in find(ast.Call)
        if is_view(path) and re.search(r"\bobjects\.all\b", names_of(node))
    )
    assert not places(found)


def test_views_write_no_rows():
    """A view parses, calls one service or selector, and renders."""

    def is_view(path: str) -> bool:
        return "/views" in path or "_app/api" in path

    found = (
        (path, node)
        for path, node in find(ast.Call)
        if is_view(path)
        and re.search(r"objects\.(create|update|bulk_\w+|get_or_create)$|\.(save|delete)$", names_of(node))
        and not re.search(r"form\.save$", names_of(node))
    )
    assert not places(found)


def test_only_transition_writes_a_status():
    """`.update(status=…)` would pass by the edges, the version and the event."""
    found = (
        (path, node)
        for path, node in find(ast.Call)
        if names_of(node).endswith(".update")
        and any(option.arg == "status" for option in node.keywords)
        and path not in ("portal/core/transitions.py",)
    )
    assert not places(found)


def test_no_template_carries_inline_script_style_or_handlers():
    wrong = []
    for path in (ROOT / "templates").rglob("*.html"):
        text = re.sub(r"{#.*?#}|{% comment %}.*?{% endcomment %}", "", path.read_text(), flags=re.S)
        for tag in re.findall(r"<(\w[^<>]*(?:{{.*?}}[^<>]*)*)>", text):
            if re.search(r"\s(?:on[a-z]+|style)\s*=", tag):
                wrong.append(f"{path.relative_to(ROOT)}: <{tag[:60]}>")
        for opening in re.findall(r"<script[^>]*>", text):
            if "src=" not in opening and "application/json" not in opening:
                wrong.append(f"{path.relative_to(ROOT)}: {opening}")
        if "<style" in text:
            wrong.append(f"{path.relative_to(ROOT)}: <style>")
        wrong += [
            f"{path.relative_to(ROOT)}: {url}"
            for url in re.findall(r"(?:src|href)=[\"'](https?://[^\"'{]+)", text)
            if "src" in url
        ]
    assert not wrong, "\n".join(wrong)
