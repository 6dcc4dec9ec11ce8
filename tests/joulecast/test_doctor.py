"""`joulecast doctor` on machines in all states; whatever is broken is told, and ends nothing."""

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from joulecast import doctor, traces
from joulecast.doctor import requirements, without_secrets
from joulecast.measurements.table.table import table_names
from joulecast.traces.public.catalog import CACHE_VARIABLE, CATALOG_VARIABLE, embedded_names
from joulecast.version import VERSION
from tests.conftest import RunCli

ROOT = Path(__file__).parent.parent.parent
WORKLOADS = Path(traces.__file__).parent / "workloads"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of cached traces, on a machine where no driver answers."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(CATALOG_VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    return tmp_path / "cache" / "traces"


@pytest.fixture
def document(run_cli: RunCli):
    """The JSON document, of a run that went well."""

    def run() -> dict:
        result = run_cli("doctor", "--format", "json")
        assert result.exit_code == 0, result.output
        assert result.stderr == ""
        return json.loads(result.stdout)

    return run


def install(folder: Path, name: str, metadata: str) -> None:
    """A package as it lies in site-packages, as far as its metadata go."""
    info = folder / f"{name}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.4\n" + metadata)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packages that hide those of this environment."""
    folder = tmp_path / "site-packages"
    install(
        folder,
        f"joulecast-{VERSION}",
        f"Name: joulecast\nVersion: {VERSION}\n"
        "Provides-Extra: fast\nProvides-Extra: all\n"
        "Requires-Dist: jc-right>=2.0\n"
        "Requires-Dist: JC_old>=2.0,<3\n"
        "Requires-Dist: jc-missing>=1\n"
        'Requires-Dist: jc-never; sys_platform == "nowhere"\n'
        "Requires-Dist: jc-broken>=1\n"
        "Requires-Dist: jc-odd>=1\n"
        "Requires-Dist: ??? not a requirement\n"
        "Requires-Dist: jc-fast>=1; extra == 'fast'\n"
        "Requires-Dist: jc-right<2.5; extra == 'fast'\n"
        "Requires-Dist: joulecast[fast]; extra == 'all'\n",
    )
    install(folder, "jc_right-2.7rc1", "Name: jc-right\nVersion: 2.7rc1\n")
    install(folder, "jc_old-1.9", "Name: jc-old\nVersion: 1.9\n")
    install(folder, "jc_broken-1", "Name: jc-broken\n")
    install(folder, "jc_odd-1", "Name: jc-odd\nVersion: one\n")
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.mark.usefixtures("packages")
def test_every_requirement_in_its_state() -> None:
    assert [tuple(row.values()) for row in requirements()] == [
        ("core", "jc-right", ">=2.0", "2.7rc1", "ok"),
        ("core", "JC_old", "<3,>=2.0", "1.9", "other version"),
        ("core", "jc-missing", ">=1", None, "missing"),
        ("core", "jc-broken", ">=1", None, "unreadable"),
        ("core", "jc-odd", ">=1", "one", "unreadable"),
        ("core", "??? not a requirement", "", None, "unreadable"),
        ("fast", "jc-fast", ">=1", None, "missing"),
        ("fast", "jc-right", "<2.5", "2.7rc1", "other version"),
    ]
    assert list(requirements()[0]) == ["needed_by", "package", "specifier", "installed", "state"]


@pytest.mark.usefixtures("packages")
def test_what_core_lacks_is_a_problem_and_what_an_extra_lacks_is_not(
    document, run_cli: RunCli
) -> None:
    assert document()["problems"] == [
        "JC_old<3,>=2.0: other version (1.9)",
        "jc-missing>=1: missing",
        "jc-broken>=1: unreadable",
        "jc-odd>=1: unreadable (one)",
        "??? not a requirement: unreadable",
    ]
    shown = " ".join(run_cli("doctor").stdout.split())
    assert "core: jc-missing>=1 - missing" in shown
    assert "fast: jc-right<2.5 2.7rc1 other version" in shown


def test_the_real_requirements(document) -> None:
    rows = document()["requirements"]
    core = {row["package"]: row for row in rows if row["needed_by"] == "core"}
    assert {"numpy", "scipy", "click", "rich", "duckdb"} <= {*core}
    assert core["numpy"]["state"] == "ok"
    assert not {"torch", "vllm", "joulecast"} & {*core}
    assert {"measure", "vllm", "spark"} <= {row["needed_by"] for row in rows}
    assert all(row["needed_by"] == "vllm" for row in rows if row["package"] == "vllm")


def test_a_clone_that_was_not_installed(document, monkeypatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGE", "joulecast-that-nobody-installed")
    report = document()
    assert report["software"]["metadata"] is None
    assert report["requirements"] == []
    assert "runs from a clone that was not installed" in report["problems"][0]


def test_metadata_of_another_version(document, tmp_path: Path, monkeypatch) -> None:
    install(tmp_path / "site", "joulecast-0.0.1", "Name: joulecast\nVersion: 0.0.1\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    (problem,) = document()["problems"]
    assert VERSION in problem
    assert "0.0.1" in problem


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b""])
def test_metadata_that_cannot_be_read(document, packages: Path, content: bytes) -> None:
    (packages / f"joulecast-{VERSION}.dist-info" / "METADATA").write_bytes(content)
    report = document()
    assert report["requirements"] == []
    assert report["tables"] == table_names()
    (problem,) = report["problems"]
    assert problem.startswith("metadata: ")


def test_a_machine_in_order(document, packages: Path, run_cli: RunCli) -> None:
    (packages / f"joulecast-{VERSION}.dist-info" / "METADATA").write_text(
        f"Name: joulecast\nVersion: {VERSION}\n"
    )
    report = document()
    assert report["problems"] == []
    assert report["software"]["joulecast"] == report["software"]["metadata"] == VERSION
    assert report["software"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert report["machine"]["memory_bytes"] is None or report["machine"]["memory_bytes"] > 1e8
    assert report["tables"] == table_names()
    assert report["traces"] == embedded_names()
    assert report["gpus"]["cards"] == []
    assert report["gpus"]["note"].startswith("nvidia-ml-py cannot be imported")
    assert report["cache"]["traces"] == []
    shown = " ".join(run_cli("doctor").stdout.split())
    assert "nothing that joulecast looks at is out of order" in shown
    assert "estimating needs no GPU" in shown
    assert f"shipped tables {', '.join(table_names())}" in shown


def test_gpus(document, run_cli: RunCli, monkeypatch) -> None:
    answers = {
        "index": 0,
        "product": "NVIDIA H100 80GB HBM3",
        "memory_bytes": 85_520_809_984,
        "power_limit_w": 700.0,
        "energy_j": 12.5,
        "counter": "moves",
        "mig": "off",
        "processes": [7, 9],
        "data_sheet": "h100-sxm",
        "problems": [],
    }
    lost = dict.fromkeys(answers) | {"index": 1, "problems": ["cannot be opened (GPU is lost)"]}
    survey = {"driver": "580.95", "note": None, "cards": [answers, lost]}
    monkeypatch.setattr(doctor, "survey_gpus", lambda: survey)
    report = document()
    assert report["gpus"]["driver"] == "580.95"
    assert report["gpus"]["cards"][0]["processes"] == [7, 9]
    assert "GPU 1: cannot be opened (GPU is lost)" in report["problems"]
    shown = " ".join(run_cli("doctor").stdout.split())
    assert (
        "gpus: 0 product NVIDIA H100 80GB HBM3 gpus: 0 memory_bytes 85520809984 "
        "gpus: 0 power_limit_w 700.0 gpus: 0 energy_j 12.5 gpus: 0 counter moves gpus: 0 mig off "
        "gpus: 0 processes [7, 9] gpus: 0 data_sheet h100-sxm gpus: 1 product -" in shown
    )


def test_nvml_that_fails_as_nothing_should(document, run_cli: RunCli, monkeypatch) -> None:
    def crash() -> None:
        raise OSError("libnvidia-ml.so.1: invalid ELF header")

    monkeypatch.setattr(doctor, "survey_gpus", crash)
    report = document()
    assert report["gpus"] is None
    assert "GPUs: OSError: libnvidia-ml.so.1: invalid ELF header" in report["problems"]
    assert "could not be asked" in run_cli("doctor").stdout
    assert run_cli("doctor", "--format", "csv").exit_code == 0


def test_cached_traces(document, cache: Path, run_cli: RunCli) -> None:
    for name in ("burstgpt-1.1-1", "mooncake-synthetic", "my-own", "azure-2024-code"):
        (cache / name).mkdir(parents=True)
    (cache / "stray.txt").write_text("no trace")
    shutil.copy(WORKLOADS / "azure-2023-code.json", cache / "my-own" / "workload.json")
    shutil.copy(WORKLOADS / "azure-2023-code.json", cache / "mooncake-synthetic" / "workload.json")
    (cache / "burstgpt-1.1-1" / "workload.json").write_text('{"format": ')
    (cache / "azure-2024-code" / "trace.csv.part").write_bytes(b"x" * 1000)
    cached = {trace["name"]: trace for trace in document()["cache"]["traces"]}
    assert list(cached) == ["azure-2024-code", "burstgpt-1.1-1", "mooncake-synthetic", "my-own"]
    assert cached["my-own"]["requests"] == cached["mooncake-synthetic"]["requests"] == 8819
    assert [cached[name]["is_known"] for name in ("my-own", "mooncake-synthetic")] == [False, True]
    assert cached["my-own"]["bytes"] == (WORKLOADS / "azure-2023-code.json").stat().st_size
    assert cached["azure-2024-code"]["bytes"] == 1000
    assert "download broke off" in cached["azure-2024-code"]["problem"]
    assert "is not whole JSON" in cached["burstgpt-1.1-1"]["problem"]
    problems = document()["problems"]
    assert sum(problem.startswith("cached ") for problem in problems) == 2
    shown = " ".join(run_cli("doctor").stdout.split())
    assert "cache: my-own is_known False cache: my-own requests 8819" in shown
    assert "cache: burstgpt-1.1-1 requests -" in shown


def test_a_cached_file_of_another_length(document, cache: Path, tmp_path, monkeypatch) -> None:
    row = dict.fromkeys(("title", "format", "licence", "citation"), "x")
    row |= {"name": "mine", "url": "https://example.org/mine.csv", "bytes": 5}
    catalogue = tmp_path / "catalog.json"
    catalogue.write_text(json.dumps({"traces": [row]}))
    monkeypatch.setenv(CATALOG_VARIABLE, str(catalogue))
    (cache / "mine").mkdir(parents=True)
    shutil.copy(WORKLOADS / "azure-2023-code.json", cache / "mine" / "workload.json")
    (cache / "mine" / "mine.csv").write_text("12345")
    assert document()["cache"]["traces"][0]["problem"] is None
    (cache / "mine" / "mine.csv").write_text("123")
    assert "has 3 bytes, the catalogue knows 5" in document()["cache"]["traces"][0]["problem"]
    catalogue.write_text("[")
    report = document()
    assert report["cache"]["traces"][0] == {
        "name": "mine",
        "bytes": report["cache"]["traces"][0]["bytes"],
        "is_known": None,
        "requests": 8819,
        "problem": None,
    }
    assert any(problem.startswith("catalogue: ") for problem in report["problems"])


def test_a_cache_that_is_a_file(document, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "traces").write_text("not a folder")
    report = document()
    assert report["cache"]["traces"] == []
    assert any("cannot be listed" in problem for problem in report["problems"])
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache" / "traces" / "deeper"))
    assert document()["cache"]["traces"] == []


def test_a_cache_that_nobody_may_look_into(document, cache: Path, monkeypatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    cache.mkdir(parents=True)
    monkeypatch.setattr(Path, "iterdir", refuse)
    monkeypatch.setattr(Path, "exists", lambda path: path != cache)  # as it is told of such ones
    assert any("cannot be listed (Permission" in problem for problem in document()["problems"])


def test_no_secrets(run_cli: RunCli, monkeypatch, tmp_path: Path) -> None:
    home = tmp_path / "home" / "jane"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv(CACHE_VARIABLE, str(home / "cache"))
    monkeypatch.setenv(
        CATALOG_VARIABLE, "https://jane:hunt/er@2@example.org/catalog.json?token=f00d&x=1"
    )
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    for output_format in ("table", "json", "csv"):
        result = run_cli("doctor", "--format", output_format)
        assert result.exit_code == 0
        text = "".join(result.stdout.split())
        for secret in ("hunt", "er@2", "jane", "f00d", "hf_secret"):
            assert secret not in text
        assert "https://example.org/catalog.json" in text
        assert "~/cache" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://a:b@c.org/d.json", "https://c.org/d.json"),
        ("https:/a:b@c.org/d.json: cannot be (x); y", "https:/c.org/d.json: cannot be (x); y"),
        ("trino://user@host/catalog", "trino://host/catalog"),
        ("https://c.org/d?sig=1%2F", "https://c.org/d"),
        ("file C:/a@b.csv", "file C:/a@b.csv"),
        ("/data/me@home/x?y", "/data/me@home/x?y"),
        ("nothing to hide", "nothing to hide"),
        ("a\x1b[2Jb\nc", "a\\x1b[2Jb\\nc"),
    ],
)  # fmt: skip
def test_addresses_without_users(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_csv_has_a_row_per_fact(run_cli: RunCli, cache: Path, tmp_path: Path) -> None:
    (cache / "mine").mkdir(parents=True)
    output = tmp_path / "report.csv"
    assert run_cli("doctor", "--format", "csv", "-o", output).exit_code == 0
    rows = list(csv.DictReader(io.StringIO(output.read_text())))
    assert {"part", "name", "value", "state"} == set(rows[0])
    assert {"software", "machine", "requirements", "gpus", "cache", "tables", "traces"} <= {
        row["part"] for row in rows
    }
    assert [row["name"] for row in rows if row["part"] == "tables"] == table_names()
    (mine,) = [row for row in rows if row["name"] == "mine problem"]
    assert "has no workload" in mine["value"]


def test_without_numpy_it_says_so(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['numpy'] = None\n"
        "from joulecast.cli.main import main\n"
        "main(['doctor', '--format', sys.argv[1]])\n"
    )
    for output_format in ("table", "json"):
        done = subprocess.run(
            [sys.executable, "-c", program, output_format],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        assert "import of numpy halted" in " ".join(done.stdout.split())


def test_neither_torch_nor_an_engine_is_imported() -> None:
    program = (
        "import sys\n"
        "from joulecast.cli.main import main\n"
        "main(['doctor'], standalone_mode=False)\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = set(done.stderr.split())
    assert "joulecast.doctor" in imported
    heavy = {"torch", "vllm", "transformers", "pandas", "duckdb", "matplotlib", "pyspark"}
    assert not heavy & imported
