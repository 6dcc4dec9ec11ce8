"""Names, options and outputs that cannot be used end with one line, and nothing is lost."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from joulecast.estimator.paper import published
from tests.conftest import RunCli
from tests.test_bad_input import BINNED, HEAD, TABLE, assert_one_line


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("estimate", "nowhere.csv", *BINNED), "nowhere.csv: no such file"),
        (("estimate", "no*.csv", *BINNED), "no*.csv: no file matches"),
        (("estimate", "/", *BINNED), "is a folder"),
        (("estimate", "ftp://host/trace.csv", *BINNED), "addresses are http, https or s3"),
        (("estimate", "azure-2023-cnv", *BINNED), 'did you mean "azure-2023-conv"'),
        (("trace", "summary", "azure-2023-cod"), 'did you mean "azure-2023-code"'),
        (("estimate", "azure-2023-conv", "--table", "h100/llama/vllm"), f'did you mean "{TABLE}"'),
        (("table", "show", "zzz"), "known are: h100-sxm"),
        (("flops", "llama-3.1-8"), 'did you mean "llama-3.1-8b"'),
        (("paper", "mixture"), 'did you mean "mixtures"'),
        (("table4", "--table", TABLE), "needs a pytorch table"),
        (("table4", "--table", TABLE, "--table", TABLE), "both vllm"),
        (("table4", "--trace", "burstgpt=nowhere.csv"), "nowhere.csv: no such file"),
        (
            ("estimate", "azure-2023-conv", *BINNED, "-o", "/nowhere/x"),
            "cannot be written",
        ),
    ],
)
def test_names(words: tuple[str, ...], fragment: str, run_cli: RunCli) -> None:
    assert_one_line(run_cli(*words), fragment)


@pytest.mark.parametrize(
    "words",
    [
        ("estimate",),
        ("estimate", "azure-2023-conv", *BINNED, "--pue", "0.5"),
        ("estimate", "azure-2023-conv", "--table", TABLE, "--method", "guess"),
        ("estimate", "azure-2023-conv", *BINNED, "--carbon", "nan"),
        ("table4", "--trace", "burstgpt"),
        ("table4", "--trace", "a=b", "--trace", "a=c"),
        ("flops", "llama-3.1-8b", "--input", "5"),
        ("flops", "llama-3.1-8b", "--input", "5", "--output", "0"),
        ("measure",),
    ],
)
def test_wrong_usage_is_status_2(words: tuple[str, ...], run_cli: RunCli) -> None:
    result = run_cli(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""


@pytest.mark.parametrize(
    "words",
    [
        ("table", "show", "x" * 5000),
        ("estimate", "azure-2023-code", "--table", "x" * 5000),
        ("flops", "x" * 5000),
        ("trace", "summary", "x" * 5000),
        ("trace", "list", "-o", "x" * 5000),
    ],
)
def test_names_longer_than_any_may_be(words: tuple[str, ...], run_cli: RunCli) -> None:
    assert_one_line(run_cli(*words), "x" * 100)


def test_a_name_with_a_nul_is_wrong_usage(run_cli: RunCli) -> None:
    for words in (("table", "show", "a\0b"), ("trace", "list", "-o", "a\0b")):
        result = run_cli(*words)
        assert result.exit_code == 2
        assert "NUL" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("estimate", "azure-2023-code", *BINNED, "--format", "json", "-o"),
        ("estimate", "azure-2023-code", *BINNED, "--html"),
        ("compare", "azure-2023-code", *BINNED, "-o"),
        ("doctor", "-o"),
        ("flops", "llama-3.1-8b", "--output-file"),
        ("regions", "-o"),
        ("table", "list", "-o"),
        ("table", "show", TABLE, "-o"),
        ("table", "show", TABLE, "--plot"),
        ("paper", "-o"),
        ("paper", "mixtures", "--plot"),
        ("table4", "-o"),
        ("table4", "--plot"),
        ("tables", "-o"),
        ("trace", "bin", "azure-2023-code", "-o"),
        ("trace", "list", "-o"),
        ("trace", "plot", "azure-2023-code", "-o"),
        ("trace", "summary", "azure-2023-code", "-o"),
        ("validate", "-o"),
        ("validate", "--plot"),
    ],
    ids=" ".join,
)
def test_results_in_folders_that_are_not_there(
    words: tuple[str, ...], run_cli: RunCli, tmp_path: Path
) -> None:
    place = tmp_path / "no-such-folder" / "result.png"
    assert_one_line(run_cli(*words, place), f"{place}: cannot be written")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("estimate", "--help")])
def test_a_full_disk_for_what_click_prints(words: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "joulecast", *words]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=-1, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "Error: the system refuses something: No space left on device\n"


def test_zip_says_so(run_cli: RunCli, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("t.csv", HEAD + "1,2\n")
    assert_one_line(run_cli("trace", "summary", tmp_path / "t.zip"), "a zip archive; unpack it")


def test_a_workload_is_never_written_over_its_own_trace(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(HEAD + "1,2\n")
    assert_one_line(run_cli("trace", "bin", path, "-o", path), "is a trace that was given")
    assert path.read_text() == HEAD + "1,2\n"


def test_a_failed_run_leaves_an_earlier_result_alone(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(HEAD + "1,x\n")
    (tmp_path / "w.json").write_text("earlier")
    assert_one_line(run_cli("trace", "bin", tmp_path / "bad.csv", "-o", tmp_path / "w.json"), ":2:")
    assert (tmp_path / "w.json").read_text() == "earlier"


def test_no_result_is_written_over_a_trace(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(HEAD + "1,2\n")
    (tmp_path / "link.csv").symlink_to(path)
    for words in (
        ("estimate", path, *BINNED),
        ("compare", tmp_path / "*.csv", *BINNED),
        ("trace", "summary", path),
        ("trace", "bin", tmp_path / "*.csv"),
        ("table4", "--trace", f"mine={path}"),
    ):
        for output in (path, tmp_path / "link.csv"):
            assert_one_line(run_cli(*words, "-o", output), "is a trace that was given")
            assert path.read_text() == HEAD + "1,2\n"


def test_a_link_stays_one_and_a_dash_is_standard_output(run_cli: RunCli, tmp_path: Path) -> None:
    target = tmp_path / "real.json"
    target.write_text("{}")
    (tmp_path / "link.json").symlink_to(target)
    words = ("estimate", "azure-2023-code", *BINNED, "--format", "json", "-o")
    assert run_cli(*words, tmp_path / "link.json").exit_code == 0
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads(target.read_text())["requests"]["total"] == 8819
    assert json.loads(run_cli(*words, "-").stdout)["requests"]["total"] == 8819


ODD_NAMES = ("d[/z].csv", "r[bold]x.csv", ":smile:.csv", "東é.csv")


@pytest.fixture
def odd_files(tmp_path: Path) -> list[Path]:
    """A trace under each odd name."""
    paths = [tmp_path / name for name in ODD_NAMES]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEAD + "1,2\n")
    return paths


@pytest.fixture
def small_table4(monkeypatch: pytest.MonkeyPatch) -> None:
    """Table 4 with a row of each kind: of a trace that ships, and of one that the paper has."""
    paper = published._published()
    rows = [row for row in paper["rows"] if row["key"] == "burstgpt"]
    shipped = [row for row in paper["embedded"] if row["key"] == "azure-2023-code"]
    small = {**paper, "rows": rows, "embedded": shipped}
    monkeypatch.setattr(published, "_published", lambda: small)


def test_names_are_shown_as_they_are(run_cli: RunCli, odd_files: list[Path]) -> None:
    for name, path in zip(ODD_NAMES, odd_files, strict=True):
        for words in (("estimate", path, *BINNED), ("trace", "summary", path)):
            result = run_cli(*words)
            assert result.exit_code == 0, result.output
            assert name in result.stdout.replace("\n", "").replace(" ", "")


@pytest.mark.usefixtures("small_table4")
def test_names_are_shown_as_they_are_in_table4(run_cli: RunCli, odd_files: list[Path]) -> None:
    traces = [(name, path) for name, path in zip(ODD_NAMES, odd_files, strict=True)]
    words = [word for name, path in traces for word in ("--trace", f"{name}={path}")]
    result = run_cli("table4", *words, "--trace", f"burstgpt={odd_files[0]}")
    assert result.exit_code == 0, result.output
    for name in ODD_NAMES:
        assert name in result.stdout.replace("\n", "").replace(" ", "")


@pytest.mark.slow
@pytest.mark.usefixtures("small_table4")
def test_table4_says_what_it_left_out(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(HEAD + "1,2\n9000,1\n1,900\n5,0\n5,x\n")
    words = ("table4", "--trace", f"burstgpt={tmp_path / 't.csv'}", "--on-invalid", "skip")
    text = " ".join(run_cli(*words).stdout.split())
    assert "1 of 5 estimated; left out: 2 beyond the grid" in text
    assert "1 failed, 1 invalid (1 not a number)" in text
    assert "27 beyond the grid" in text
    (row,) = [
        row
        for row in json.loads(run_cli(*words, "--format", "json").stdout)["rows"]
        if row["dataset"] == "BurstGPT"
    ]
    assert row["requests"]["beyond_grid"] == 2
    assert row["invalid_rows"] == {"not a number": 1}
