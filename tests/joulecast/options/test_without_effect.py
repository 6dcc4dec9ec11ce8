"""An option that would change nothing is refused in one line, which names it."""

from pathlib import Path

import pytest

import joulecast as jc
from joulecast.traces.errors import InputError
from tests.conftest import RunCli
from tests.test_bad_input import TABLE, assert_one_line

EQUAL = ("--requests", "100", "--input", "500", "--output", "100")
ON = ("--on", "gpu=h100-sxm")
OF_ROWS = {
    "--on-invalid": "skip",
    "--memory-limit": "200MB",
    "--count-column": "none",
    "--id-column": "none",
    "--where": "input_tokens > 5",
    "--prefix-cache": "1000",
    "--input-column": "prompt",
    "--arrival-unit": "seconds",
}
COLUMNS = ("--where", "--input-column", "--arrival-unit")
WORKLOADS = {
    "estimate": EQUAL,
    "estimate of a shipped": ("azure-2023-code",),
    "estimate binned": (*EQUAL, "--table", TABLE, "--method", "binned"),
    "compare": (*EQUAL, *ON),
    "plan": ("azure-2023-code", *ON, "--serving", "offline"),
    "prices": ("--gpu", "l40s", *EQUAL[2:]),
}


@pytest.mark.parametrize("option", OF_ROWS)
@pytest.mark.parametrize("case", WORKLOADS)
def test_no_row_is_read_of_a_workload(case: str, option: str, run_cli: RunCli) -> None:
    command = case.partition(" ")[0]
    result = run_cli(command, *WORKLOADS[case], option, OF_ROWS[option])
    assert_one_line(result, "has no columns to name; leave" if option in COLUMNS else option)


@pytest.mark.parametrize("option", OF_ROWS)
@pytest.mark.parametrize(
    "words", [(), ("h100-sxm",), ("h100-sxm", "--model", "qwen2.5-7b"), ("--gpu", "l40s")]
)
def test_prices_that_read_no_trace(words: tuple[str, ...], option: str, run_cli: RunCli) -> None:
    result = run_cli("prices", *words, option, OF_ROWS[option])
    assert result.exit_code == 2
    assert f"{option} is of how TRACE is read" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "words",
    [
        ("estimate", *EQUAL),
        ("estimate", *EQUAL, "--serving", "offline"),
        ("estimate", *EQUAL, "--table", TABLE, "--method", "binned"),
        ("estimate", "azure-2023-code", "--router", "least-loaded", "--replicas", "2"),
        ("compare", *EQUAL, *ON),
        ("compare", "azure-2023-code", "--table", TABLE),
    ],
)
def test_a_spark_that_has_nothing_to_do(words: tuple[str, ...], run_cli: RunCli) -> None:
    result = run_cli(*words, "--spark", "nowhere")
    assert_one_line(result, "Spark has nothing to do")
    assert "leave Spark out" in result.stderr
    assert not result.stdout


@pytest.mark.parametrize("words", [("estimate",), ("compare", *ON)])
def test_a_share_of_requests_that_are_told_by_their_number(
    words: tuple[str, ...], run_cli: RunCli
) -> None:
    result = run_cli(*words, *EQUAL, "--share", "0.5")
    assert result.exit_code == 2
    assert "give fewer --requests" in result.stderr.splitlines()[-1]


def test_a_workload_is_taken_as_computed() -> None:
    cached = jc.equal_requests(1000, 500, 100, 400)
    plain = jc.equal_requests(1000, 500, 100)
    estimates = [
        jc.estimate(cached, cached_column="none"),
        jc.estimate(plain),
        jc.estimate(cached),
    ]
    assert estimates[0].energy_j == estimates[1].energy_j > estimates[2].energy_j
    assert estimates[0].cached is None


def test_the_binned_method_has_a_table_of_each(tmp_path: Path, run_cli: RunCli) -> None:
    words = ("compare", *EQUAL, "--method", "binned", "--table", TABLE, "--on", "gpu=l40s")
    assert_one_line(run_cli(*words), "no table of it was measured")
    with pytest.raises(InputError, match="no table of it was measured"):
        jc.compare("azure-2023-code", [TABLE, "gpu=l40s"], "binned")
