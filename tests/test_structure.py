"""Imports point one way, and importing the library changes nothing in a process."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "s2s_cli"

# A module imports only from its own stage and from earlier ones.
STAGES = [
    ("errors",),
    ("files",),
    ("config",),
    ("runs",),
    ("runtime",),
    ("text",),
    ("checks",),
    ("cleaning",),
    ("model",),
    ("inspection",),
    ("decoding",),
    ("evaluation",),
    ("synthesis",),
    ("training",),
    ("export",),
    ("serving",),
    ("cluster",),
    ("__init__",),
    ("cli",),
    ("__main__",),
]


def modules() -> Iterator[tuple[str, Path]]:
    """The top-level name of each module in the package, and its file."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path


def stage(name: str) -> int:
    return next(index for index, names in enumerate(STAGES) if name in names)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """The dotted names of all modules that a file imports, in functions too."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None, f"{path}: a relative import"
            if node.module == "s2s_cli":
                yield from (f"s2s_cli.{alias.name}" for alias in node.names)
            else:
                yield node.module


def test_a_module_imports_only_from_stages_before_it():
    for name, path in modules():
        for imported in imports(path):
            package, _, rest = imported.partition(".")
            found = rest.split(".")[0]
            if package != "s2s_cli" or not (PACKAGE / found).is_dir():
                continue
            assert stage(found) <= stage(name), f"{path.relative_to(ROOT)} imports {imported}"


def test_every_module_belongs_to_a_stage():
    assert {name for name, _ in modules()} == {name for names in STAGES for name in names}


def test_only_the_command_line_prints_and_only_it_knows_typer():
    for name, path in modules():
        if name in ("cli", "__main__"):
            continue
        assert not {"typer", "click", "tqdm", "rich"} & {i.split(".")[0] for i in imports(path)}
        for node in ast.walk(parsed(path)):
            is_print = isinstance(node, ast.Name) and node.id == "print"
            is_program = path.parent.name == "runners"  # which is shipped, not imported
            assert not is_print or is_program, f"{path.relative_to(ROOT)}:{node.lineno}: print"


def test_tensorflow_and_keras_are_used_through_their_public_names():
    """A private name may go with any release; one that is needed gets a test and a fallback."""
    for _, path in modules():
        where = path.relative_to(ROOT)
        for imported in imports(path):
            assert not imported.startswith(("tensorflow.python", "keras.src")), where
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.Attribute):
                continue
            chain = ast.unparse(node).split(".")
            if chain[0] in ("tf", "tensorflow", "keras", "layers", "ops"):
                private = [part for part in chain[1:] if part.startswith("_") or part == "src"]
                assert not private, f"{where}:{node.lineno}: {'.'.join(chain)}"


# A new process, as what is imported cannot be undone.


def in_new_process(program: str) -> object:
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    return json.loads(process.stdout)


STATE = """
import faulthandler, gc, json, os, signal, sys, threading, warnings
def state():
    return {
        "signals": [str(signal.getsignal(s)) for s in sorted(signal.valid_signals())],
        "gc": [gc.isenabled(), gc.get_freeze_count(), list(gc.get_threshold())],
        "environment": dict(os.environ),
        "hooks": [repr(sys.excepthook), repr(sys.stdout), repr(sys.stderr), repr(sys.argv)],
        "threads": threading.active_count(),
        "faults": faulthandler.is_enabled(),
        "folder": os.getcwd(),
        "recursion": sys.getrecursionlimit(),
    }
before = state()
"""


def test_importing_the_package_imports_neither_tensorflow_nor_keras_and_changes_nothing():
    program = STATE + (
        "import s2s_cli\n"
        "assert s2s_cli.load and s2s_cli.train and s2s_cli.S2SError and s2s_cli.__version__\n"
        "heavy = sorted({'tensorflow', 'keras', 'numpy', 'pydantic'} & set(sys.modules))\n"
        "print(json.dumps([before, state(), heavy]))"
    )
    before, after, heavy = in_new_process(program)
    assert after == before
    assert heavy == []


@pytest.mark.slow
def test_using_the_library_changes_neither_signals_nor_the_garbage_collector():
    """Starting TensorFlow changes what TensorFlow changes; importing the rest, nothing."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for name, path in modules()
        if name not in ("__main__", "cli") and path.parent.name != "runners"
    ]
    program = STATE + (
        "from s2s_cli import runtime; runtime.start(1)\n"
        "started = state()\n"
        f"import importlib\nfor name in {names!r}: importlib.import_module(name)\n"
        "print(json.dumps([before, started, state()]))"
    )
    before, started, after = in_new_process(program)
    assert after == started
    for name in ("signals", "gc", "hooks", "faults", "folder", "recursion"):
        assert after[name] == before[name]


def test_the_command_line_is_imported_without_tensorflow():
    program = (
        "import json, sys, s2s_cli.cli.app\n"
        "print(json.dumps(sorted({'tensorflow', 'keras'} & set(sys.modules))))"
    )
    assert in_new_process(program) == []


def test_git_ignores_no_source_file():
    command = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "*.py"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("this is no git checkout")
    folders = ("s2s_cli/", "tests/", "examples/", "configs/")
    assert [path for path in found.stdout.split() if path.startswith(folders)] == []
