"""The rules of the house that no linter knows: each test is one of them.

A rule is a function from a syntax tree to its offences, and offences are planted for each: none is blind.
Elsewhere: the direction between rooms (import-linter), banned calls and style (ruff); both in pyproject.toml.
"""

import ast
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import midshift

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "src" / "midshift"

Rule = Callable[[ast.AST], Iterator[tuple[int, str]]]

# Below the shells: plain functions over values. What comes from outside is an argument.
CORE = ("config", "domain", "errors", "evals", "ports", "reports", "retune", "shadow", "stats", "wire")
NUMBERS_AND_NAMES = ("domain", "stats")
# The three engines that call a model: they wait, so they are async.
ASYNC_SHELLS = {"evals/runner.py", "retune/search.py", "shadow/mirror.py"}

# Spelled in parts, so that this file does not offend itself.
REGISTRY_HOSTS = ("pypi" + ".org", "pythonhosted" + ".org", "registry.npmjs" + ".org", "deb.debian" + ".org")
MACHINE_FOLDERS = ("home", "root", "Users", "work", "workspace", "builds")
FOREIGN_TO_A_REPOSITORY = re.compile(
    "|".join(
        [
            *(re.escape(host) for host in REGISTRY_HOSTS),
            r"https?://\S+/simple\b",
            r"index-url[ =]+\S*://",
            rf"(?<![\w./~-])/(?:{'|'.join(MACHINE_FOLDERS)})/\w",
        ]
    )
)


def test_the_core_never_waits() -> None:
    """Functional core, imperative shell: what decides an upgrade is called with values alone."""
    files = [path for path in files_of(*CORE) if name_of(path) not in ASYNC_SHELLS]

    assert [] == offences(files, waits)


def test_the_core_reads_no_clock_and_draws_no_luck() -> None:
    """Eight weeks must pass in milliseconds, and a decision must be the same when it is replayed."""
    assert [] == offences(files_of(*CORE), reads_clock_or_luck)


def test_the_statistics_and_the_domain_open_no_file() -> None:
    """They are the part that anyone can reuse, and that every process loads: no surprises."""
    assert [] == offences(files_of(*NUMBERS_AND_NAMES), opens_file)


def test_the_statistics_and_the_domain_explain_themselves() -> None:
    """A statistician can check a method against its docstring, and a newcomer learns the words from it."""
    assert [] == offences(files_of(*NUMBERS_AND_NAMES), lacks_docstring)


def test_imports_stand_at_the_top_except_in_the_command_line() -> None:
    """An import inside a function hides a dependency or a circle; only the command line loads rooms late."""
    files = [path for path in PACKAGE.rglob("*.py") if not name_of(path).startswith("cli/")]

    assert [] == offences(files, imports_in_function)


def test_importing_the_domain_loads_no_numpy() -> None:
    """Gateways and `midshift rollback` load the domain: numpy would only cost them time and memory."""
    rooms = [f"midshift.{room}" for room in NUMBERS_AND_NAMES if (PACKAGE / room).is_dir()]
    program = f"import sys, {', '.join(['midshift', *rooms])}; print({{'numpy', 'scipy'}} & set(sys.modules))"

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "set()" == run.stdout.strip()


def test_no_module_imports_itself_in_a_circle() -> None:
    """Modules in a circle can only be read, tested and moved together."""
    graph = import_graph()

    try:
        TopologicalSorter(graph).prepare()
        circle = []
    except CycleError as error:
        circle = error.args[1]

    assert [] == circle


def test_the_public_api_is_small_and_sorted() -> None:
    """Every public name is a promise; a sorted list shows a new one in review."""
    assert sorted(set(midshift.__all__)) == list(midshift.__all__)
    assert [] == [name for name in midshift.__all__ if not hasattr(midshift, name)]
    assert 40 >= len(midshift.__all__)


def test_no_file_names_a_registry_or_a_machine() -> None:
    """A clone must install from whatever registry its owner uses, and run wherever it lies."""
    found = [
        f"{path}:{number} {match[0]}"
        for path in repository_files()
        for number, line in enumerate(text_of(REPOSITORY / path).splitlines(), start=1)
        if (match := FOREIGN_TO_A_REPOSITORY.search(line))
    ]

    assert [] == found


@pytest.mark.parametrize("lock", ["run", "dev"])
def test_the_locks_hold_what_pyproject_asks_for(lock: str) -> None:
    """A dependency added or raised without `make lock` would fail on the next clean clone, not here."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    asked = project["project"]["dependencies"] + groups["build"] + (groups["dev"] if lock == "dev" else [])
    locked = re.findall(r"^(\S+)==(\S+)", (REPOSITORY / "requirements" / f"{lock}.txt").read_text(), re.MULTILINE)

    missing = [
        line
        for line in asked
        if isinstance(line, str)
        if not any(
            canonicalize_name(Requirement(line).name) == name and version in Requirement(line).specifier
            for name, version in locked
        )
    ]

    assert [] == missing


def test_a_test_reaches_nothing_beyond_loopback() -> None:
    """The suite must give the same answer on a train; 127.0.0.2 stands for any host that is not allowed."""
    with pytest.raises((RuntimeError, UserWarning), match="A test tried to use socket"):
        socket.create_connection(("127.0.0.2", 9), timeout=1)


def waits(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Anything that belongs to an event loop."""
    for node in ast.walk(tree):
        match node:
            case ast.AsyncFunctionDef() | ast.AsyncFor() | ast.AsyncWith() | ast.Await():
                yield node.lineno, "waits"


def reads_clock_or_luck(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """An import of time or random, or a datetime made from the clock."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, f"imports {a.name}") for a in names if a.name in ("time", "random"))
            case ast.ImportFrom(module="time" | "random" as module, level=0):
                yield node.lineno, f"imports {module}"
            case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=attr):
                if owner in ("date", "datetime") and attr in ("now", "today", "utcnow"):
                    yield node.lineno, f"reads {owner}.{attr}"


def opens_file(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """A call of open, or of a Path method that reads or writes."""
    methods = {"open", "read_bytes", "read_text", "write_bytes", "write_text"}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="open")):
                yield node.lineno, "calls open"
            case ast.Call(func=ast.Attribute(attr=attr)) if attr in methods:
                yield node.lineno, f"calls .{attr}"


def lacks_docstring(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The module, and each public function and class of it, without a docstring."""
    assert isinstance(tree, ast.Module)
    if tree.body and not ast.get_docstring(tree):
        yield 1, "module"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not node.name.startswith("_") and not ast.get_docstring(node):
                yield node.lineno, node.name


def imports_in_function(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """An import at any depth inside a function."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    yield node.lineno, "imports in a function"


@pytest.mark.parametrize(
    ("rule", "planted"),
    [
        (waits, "async def f(): ..."),
        (waits, "async def f():\n    await g()"),
        (reads_clock_or_luck, "import time"),
        (reads_clock_or_luck, "import json, random"),
        (reads_clock_or_luck, "from time import monotonic"),
        (reads_clock_or_luck, "now = datetime.now(UTC)"),
        (reads_clock_or_luck, "now = datetime.datetime.utcnow()"),
        (reads_clock_or_luck, "clock = date.today"),
        (opens_file, "open('x')"),
        (opens_file, "Path('x').read_text()"),
        (lacks_docstring, "def f() -> None: ..."),
        (lacks_docstring, "'''Module.'''\nclass A:\n    pass"),
        (imports_in_function, "def f():\n    if x:\n        import numpy"),
        (imports_in_function, "class A:\n    def f(self):\n        from numpy import mean"),
    ],
)
def test_no_rule_is_blind(rule: Rule, planted: str) -> None:
    """A rule that cannot fail protects nothing."""
    assert [] != list(rule(ast.parse(planted)))


@pytest.mark.parametrize(
    "planted",
    [*REGISTRY_HOSTS, "https" + "://mirror.example/simple", *(f"'/{f}/me'" for f in MACHINE_FOLDERS)],
)
def test_the_search_for_foreign_names_is_not_blind(planted: str) -> None:
    """As above, for the text of every file."""
    assert FOREIGN_TO_A_REPOSITORY.search(f"see {planted}/x")


def test_a_circle_through_a_function_is_seen() -> None:
    """As above, for import circles."""
    modules = {"a": ast.parse("from p import b"), "b": ast.parse("def f():\n    from . import a")}
    trees = {f"p.{name}": tree for name, tree in modules.items()}

    graph = {name: set(imported(name, tree, set(trees), is_package=False)) for name, tree in trees.items()}

    assert {"p.a": {"p.b"}, "p.b": {"p.a"}} == graph


def files_of(*rooms: str) -> list[Path]:
    """The modules of these rooms, of those that exist."""
    return [
        path
        for room in rooms
        for path in [PACKAGE / f"{room}.py", *sorted((PACKAGE / room).rglob("*.py"))]
        if path.is_file()
    ]


def name_of(path: Path) -> str:
    """The module's file as the rules name it: evals/runner.py."""
    return path.relative_to(PACKAGE).as_posix()


def offences(files: list[Path], rule: Rule) -> list[str]:
    """Where the rule is broken, as file:line and what."""
    return [f"{name_of(path)}:{line} {what}" for path in files for line, what in rule(parsed(path))]


def parsed(path: Path) -> ast.Module:
    """The module's syntax tree; a syntax error names the file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def import_graph() -> dict[str, set[str]]:
    """Module to the midshift modules that it imports, wherever in its text."""
    paths = {module_name(path): path for path in PACKAGE.rglob("*.py")}
    return {
        name: set(imported(name, parsed(path), set(paths), is_package=path.stem == "__init__"))
        for name, path in paths.items()
    }


def module_name(path: Path) -> str:
    """src/midshift/stats/__init__.py is midshift.stats."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(name: str, tree: ast.AST, known: set[str], is_package: bool) -> Iterator[str]:
    """The known modules that this one imports; a package counts only for those who take a name from it."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found = {alias.name for alias in names}
            case ast.ImportFrom(module=module, names=names, level=level):
                above = name.split(".")[: len(name.split(".")) - level + is_package] if level else []
                base = ".".join([*above, *([module] if module else [])])
                found = {f"{base}.{a.name}" if f"{base}.{a.name}" in known else base for a in names}
            case _:
                continue
        yield from (found & known) - {name}


def repository_files() -> list[str]:
    """What is committed or would be: tracked, and new but not ignored."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a git clone, so there is no list of the repository's files")
    run = subprocess.run(listing, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [path for path in run.stdout.split("\0") if path and (REPOSITORY / path).is_file()]


def text_of(path: Path) -> str:
    """The file's text; none for a binary file."""
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode("utf-8", errors="replace")
