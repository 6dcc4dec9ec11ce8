"""A wheel made of the source archive runs beside whatever else is installed."""

import json
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from joulecast.version import VERSION

pytestmark = pytest.mark.slow  # it is built and installed

ROOT = Path(__file__).parent.parent
ROOMS = "traces", "measurements", "estimator"
METADATA = f"joulecast-{VERSION}.dist-info"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made of the source archive, as an installation from an index makes it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has joulecast's requirements, and the wheel."""
    environment = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    # Those of these tests; that what is declared suffices is held by `make table4`.
    (own,) = environment.glob("lib/python*/site-packages")
    (own / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip(environment, str(wheel))
    return environment


@pytest.fixture
def joulecast(installed: Path, tmp_path: Path) -> Callable[..., str]:
    def run(*words: str) -> str:
        command = [str(installed / "bin/joulecast"), *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
        return done.stdout

    return run


def pip(environment: Path, *what: str) -> None:
    command = [str(environment / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, "--no-deps", *what], check=True, capture_output=True)


def test_it_holds_one_package_its_data_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", *ROOMS, "joulecast"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    links = {f"joulecast/{room}" for room in ROOMS}
    expected = {
        name if name.startswith("joulecast/") else f"joulecast/{name}"
        for name in tracked
        if name not in links and not name.startswith("measurements/campaign-")
    }
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert {name.partition("/")[0] for name in names} == {"joulecast", METADATA}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_it_runs(joulecast: Callable[..., str], tmp_path: Path) -> None:
    rows = json.loads(joulecast("table4", "--format", "json"))["rows"]
    assert [row["source"] for row in rows[:2]] == ["trace", "trace"]
    (tmp_path / "t.csv").write_text("input_tokens,output_tokens\n100,20\n")
    estimate = joulecast("estimate", "t.csv", "--table", "h100-sxm/llama-3.1-8b/vllm")
    assert "1 of 1 estimated" in estimate
    assert "olmoe-1b-7b" in joulecast("flops", "olmoe-1b-7b")
    assert joulecast("--version") == f"joulecast {VERSION}\n"


def test_it_is_in_the_way_of_no_other_traces_nor_estimator(
    installed: Path, joulecast: Callable[..., str], tmp_path: Path
) -> None:
    pip(installed, "traces==0.7.0")
    (tmp_path / "estimator.py").write_text('NAME = "my own"\n')
    (tmp_path / "measurements.py").write_text('NAME = "my own"\n')
    program = (
        "import importlib.util, estimator, measurements, joulecast as jc\n"
        "assert estimator.NAME == measurements.NAME == 'my own'\n"
        "print(importlib.util.find_spec('traces').origin)\n"
        "print(jc.estimate('azure-2023-code', 'h100-sxm/llama-3.1-8b/vllm', 'binned').energy_j)\n"
    )

    def python(*words: str) -> str:
        command = [str(installed / "bin/python"), *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
        return done.stdout

    origin, energy_j = python("-c", program).splitlines()
    assert Path(origin) in set(installed.glob("lib/python*/site-packages/traces/__init__.py"))
    assert float(energy_j) > 0
    assert python("-m", "joulecast", "--version") == joulecast("--version")


def test_an_editable_install_offers_one_name(tmp_path: Path) -> None:
    # These tests run on one, made by `make`; elsewhere there is nothing to see.
    program = (
        "import importlib.util, joulecast\n"
        "print([name for name in ('traces', 'measurements', 'estimator', 'tests') "
        "if importlib.util.find_spec(name)])\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "[]\n"
