"""What the packages import is declared, what is declared is imported, and extras stay extras."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
ROOMS = ("traces", "measurements", "estimator", "joulecast")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

EXTRAS = {
    "codecarbon": {"cross-check"},
    "datasets": {"hub"},
    "deepspeed": {"flops"},
    "huggingface_hub": {"hub"},
    "ibis": {"databases"},
    "numba": {"fast"},
    "openpyxl": {"xlsx"},
    "pandas": {"frames"},
    "psutil": {"measure"},
    "pyarrow": {"s3"},
    "pynvml": {"measure"},
    "pyspark": {"spark"},
    "sqlglot": {"spark"},
    "torch": {"flops", "measure"},
    "transformers": {"flops", "hub", "measure"},
    "vllm": {"vllm"},
}
"""Import name -> the extras that bring it; such are imported where they are used."""

NAMES = {"backports": "backports-zstd", "compression": "backports-zstd", "vllm": "vllm"}
"""Import names whose package is not installed everywhere, or not by that name."""

INSTALLED = packages_distributions()
TOOLS = {"bench", "docs", "test"}
"""Extras for those who work on joulecast; what they run need not be imported."""


def requirements(extra: str | None = None) -> set[str]:
    """Names of the packages that the core, or an extra, asks for."""
    texts = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    return {canonicalize_name(Requirement(text).name) for text in texts} - {"joulecast"}


def modules() -> list[Path]:
    """Every module of the packages, once; beside them lie scripts that no import can name."""
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    return sorted(
        path
        for path in paths
        if not any(folder.is_symlink() for folder in path.parents)
        and all(part.isidentifier() for part in path.relative_to(ROOT).with_suffix("").parts)
    )


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Top-level names that a module imports from others, and whether it does so at once."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_once = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [str(node.module)]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            first = node.args[0] if node.args else None
            if called in ("import_module", "library") and isinstance(first, ast.Constant):
                names = [str(first.value)]
        for name in {name.partition(".")[0] for name in names}:
            if name not in sys.stdlib_module_names and name != "joulecast":
                yield name, id(node) in at_once


def distributions(name: str) -> set[str]:
    """The packages that an import name comes from."""
    if name in NAMES:
        return {NAMES[name]}
    return {canonicalize_name(package) for package in INSTALLED[name]}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_imported_is_declared(path: Path) -> None:
    for name, is_at_once in imports(path):
        packages = distributions(name)
        if packages & requirements():
            continue
        assert name in EXTRAS, f"{name} is imported and not declared"
        for extra in EXTRAS[name]:
            assert packages & requirements(extra), f"the extra {extra} does not bring {name}"
        assert not is_at_once, f"{name} is of an extra: import it where it is used"


@pytest.mark.parametrize("extra", [None, *sorted({*PROJECT["optional-dependencies"]} - TOOLS)])
def test_what_is_declared_is_imported(extra: str | None) -> None:
    names = {name for path in modules() for name, _ in imports(path)}
    if extra is not None:
        names = {name for name in names if extra in EXTRAS.get(name, ())}
    assert requirements(extra) <= set().union(*map(distributions, names))


CORE_ALONE = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {extras}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refused())
from joulecast.cli.main import main
for words in {commands}:
    try:
        main(words)
    except SystemExit as ended:
        if ended.code:
            sys.exit(f"{{words}}: {{ended.code}}")
"""


@pytest.mark.slow
def test_the_core_reads_estimates_and_draws_without_any_extra(tmp_path: Path) -> None:
    import gzip

    import duckdb

    text = "input_tokens,output_tokens,arrival_s\n100,20,0.5\n3000,200,1.5\n"
    (tmp_path / "t.csv").write_text(text)
    with gzip.open(tmp_path / "t.csv.gz", "wt") as file:
        file.write(text)
    for name in ("t.parquet", "t.csv.zst"):
        duckdb.sql(f"COPY (FROM '{tmp_path}/t.csv') TO '{tmp_path}/{name}'")
    (tmp_path / "t.jsonl").write_text('{"input_tokens": 100, "output_tokens": 20}\n')
    files = [str(tmp_path / f"t.{end}") for end in ("csv", "csv.gz", "csv.zst", "parquet", "jsonl")]
    table = "h100-sxm/llama-3.1-8b/vllm-quick"
    commands = [["trace", "summary", file] for file in files]
    commands += [["trace", "bin", file, "-o", str(tmp_path / "w.json")] for file in files]
    words = ["estimate", files[0], "--table", table, "--method", "stepwise", "--carbon", "FR"]
    commands.append([*words, "--price", "0.2 EUR", "--html", str(tmp_path / "p.html")])
    commands += [["regions"], ["table", "list"], ["doctor"], ["validate", "--help"]]
    program = CORE_ALONE.format(extras={*EXTRAS, "pandas"}, commands=commands)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
