"""What several tests share."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner, Result
from hypothesis import settings

from joulecast import measurements
from joulecast.cli.main import main
from joulecast.estimator.paper import table4 as paper_table4
from joulecast.estimator.paper.table4 import Table4
from joulecast.traces.cell_sums import CellSums
from joulecast.traces.grid import Grid
from joulecast.traces.workload import Workload

RunCli = Callable[..., Result]

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")  # machines are shared: time says nothing of what is tested


@pytest.fixture
def run_cli() -> RunCli:
    """Run `joulecast` with the given words."""

    def run(*words: object, **options: object) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words], **options)

    return run


@pytest.fixture(scope="session")
def shipped_table4() -> Table4:
    """What `joulecast table4` works out, which takes seconds, once."""
    built: list[Table4] = []
    build = paper_table4.build_table4
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            paper_table4, "build_table4", lambda *words: built.append(build(*words)) or built[0]
        )
        assert CliRunner().invoke(main, ["table4"]).exit_code == 0
    return built[0]


@pytest.fixture(scope="session")
def azure_folder() -> Path:
    """The folder of the real Azure 2023 traces, which do not ship."""
    folder = os.environ.get("JOULECAST_TRACES")
    if folder is None:
        pytest.skip("JOULECAST_TRACES does not name the folder of the real traces")
    return Path(folder)


@pytest.fixture(scope="session")
def spark() -> Iterator[str]:
    """The master of a Spark that runs already: starting one takes longer than all that it reads."""
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    from pyspark.sql import SparkSession

    settings = {
        "spark.log.level": "ERROR",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
    }
    builder = SparkSession.builder.master("local[2]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.pythonExec = sys.executable  # of the workers
    yield "local[2]"
    session.stop()


@pytest.fixture
def table_folder(tmp_path: Path) -> Path:
    """A copy of the shipped vLLM table, to be spoilt."""
    shipped = Path(measurements.__file__).parent / "tables/h100-sxm/llama-3.1-8b/vllm-by-hand"
    return Path(shutil.copytree(shipped, tmp_path / "table"))


def workload_of(grid: Grid, requests: list[tuple[int, int]]) -> Workload:
    """A workload from requests (i, o), by a plain loop."""
    cells: dict[tuple[int, int], CellSums] = {}
    for i, o in requests:
        row = sum(edge < i for edge in grid.input_edges)
        column = sum(edge < o for edge in grid.output_edges)
        request = CellSums(1, i, i * i, o, o * o, i * o)
        sums = cells.get((row, column), CellSums(0, 0, 0, 0, 0, 0))
        cells[row, column] = CellSums(*(a + b for a, b in zip(sums, request, strict=True)))
    return Workload(grid, cells)


def load_program(path: Path) -> ModuleType:
    """A program of the checkout that is no module of the package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
