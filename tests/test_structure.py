"""The shape of the house: who may import whom, and whether the README tells the truth about it."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "s2s_cli"

# The one way through the house. A module imports from its own stage and from earlier ones.
STAGES = [
    ("errors", "schema"),
    ("yaml_values",),
    ("config", "files", "arrays"),
    ("run",),
    ("runtime",),
    ("events",),
    ("text",),
    ("model",),
    ("training",),
    ("decoding",),
    ("evaluation",),
    ("export",),
    ("commands",),
    ("report",),
    ("console",),
    ("interrupts",),
    ("options", "cli", "__main__"),
]


def _stage(module: str) -> int:
    return next(i for i, names in enumerate(STAGES) if module.split(".")[0] in names)


def _imports(path: Path, *, at_top_only: bool):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if at_top_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("s2s_cli."):
            yield node.module.removeprefix("s2s_cli.")


def test_a_module_imports_only_from_stages_before_it():
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if module in ("__init__", "cli"):
            continue
        for imported in _imports(path, at_top_only=True):
            assert _stage(imported) <= _stage(module), f"{module} imports {imported}"


def test_the_readme_has_a_line_for_each_source_file():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in PACKAGE.rglob("*.py"):
        if path.name != "__init__.py":
            assert f"{path.name} " in readme, path


def test_files_and_functions_stay_readable():
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert source.count("\n") <= 320, path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 65, f"{path}: {node.name} has {length} lines"
