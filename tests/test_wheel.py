"""A wheel built from the tree runs from an empty environment, with all its data."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from joulecast.version import VERSION

ROOT = Path(__file__).parent.parent
METADATA = f"joulecast-{VERSION}.dist-info"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_it_holds_one_package_its_data_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    rooms = "traces", "measurements", "estimator"
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", *rooms, "joulecast"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    links = {f"joulecast/{room}" for room in rooms}
    expected = {
        name if name.startswith("joulecast/") else f"joulecast/{name}"
        for name in tracked
        if name not in links
    }
    shipped = {name for name in names if ".dist-info/" not in name}
    assert shipped == expected
    assert {name.partition("/")[0] for name in names} == {"joulecast", METADATA}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_it_installs_and_runs_from_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    pip = [str(environment / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
    constraints = ["-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, *constraints, str(wheel)], check=True, capture_output=True)

    def joulecast(*words: str) -> str:
        command = [str(environment / "bin/joulecast"), *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
        return done.stdout

    rows = json.loads(joulecast("table4", "--format", "json"))["rows"]
    assert [row["source"] for row in rows[:2]] == ["trace", "trace"]
    (tmp_path / "t.csv").write_text("input_tokens,output_tokens\n100,20\n")
    estimate = joulecast("estimate", "t.csv", "--table", "h100-sxm/llama-3.1-8b/vllm")
    assert "1 of 1 estimated" in estimate
    assert "olmoe-1b-7b" in joulecast("flops", "olmoe-1b-7b")
    assert joulecast("--version").startswith("joulecast ")
