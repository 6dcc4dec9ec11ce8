"""A log by models: CSV has what was not estimated, and the page shows times as the text does."""

import csv
import json
import re
from pathlib import Path

import pytest

from joulecast.estimator.over_time.durations import duration, moment
from tests.conftest import RunCli

pytestmark = pytest.mark.slow

TELLING = {
    "names", "trace", "requests.total", "requests.estimated", "not_estimated.reason",
    "not_estimated.input_tokens", "not_estimated.output_tokens",
}  # fmt: skip


def write_log(folder: Path) -> Path:
    """Of a week, of two models that are known, one that is not, and one without outputs."""
    models = "llama-3.1-8b", "gpt-4o", "qwen2.5-7b", "llama-3.1-70b"
    rows = [
        f"{3000 * k},{40 + 31 * k % 900},{0 if k % 4 == 3 else 1 + k % 90},{models[k % 4]}"
        for k in range(200)
    ]
    path = folder / "log.csv"
    path.write_text("timestamp,input_tokens,output_tokens,model\n" + "\n".join(rows) + "\n")
    return path


def test_what_is_not_estimated_has_rows(run_cli: RunCli, tmp_path: Path) -> None:
    words = ("estimate", str(write_log(tmp_path)), "--group-by", "model")
    document = json.loads(run_cli(*words, "--format", "json").stdout)
    rows = list(csv.DictReader(run_cli(*words, "--format", "csv").stdout.splitlines()))
    assert sum(int(row["requests.total"]) for row in rows) == document["requests"]["total"]
    others = [row for row in rows if row["not_estimated.reason"]]
    assert len(rows) - len(others) == len(document["models"])
    assert len(others) == len(document["not_estimated"]) == 2
    for row, other in zip(others, document["not_estimated"], strict=True):
        assert row["names"] == " ".join(other["names"])
        assert (row["requests.total"], row["requests.estimated"]) == (str(other["requests"]), "0")
        for key in ("reason", "input_tokens", "output_tokens"):
            assert row[f"not_estimated.{key}"] == str(other[key])
        assert {key for key, value in row.items() if value} <= TELLING


def test_times_are_told_as_in_the_text(run_cli: RunCli, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    words = ("estimate", str(write_log(tmp_path)), "--group-by", "model", "--html", str(page))
    document = json.loads(run_cli(*words, "--format", "json").stdout)
    told = dict(re.findall(r'data-key="([^"]*)">([^<]*)</data>', page.read_text()))
    for k, each in enumerate(document["models"]):
        serving = each["serving"]
        assert told[f"models.{k}.serving.span_s"] == duration(serving["span_s"])
        assert told[f"models.{k}.serving.span_s"].endswith(" days")
        for quantile in ("p50", "p99"):
            shown = told[f"models.{k}.serving.ttft_s.{quantile}"]
            assert shown == moment(serving["ttft_s"][quantile])
            assert shown.endswith(" ms")


def test_the_head_of_a_page_tells_times_so_too(run_cli: RunCli, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    on = ("--model", "llama-3.1-8b", "--gpu", "h100-sxm", "--html", str(page))
    equal = ("--requests", "1000", "--input", "1000", "--output", "200")
    assert run_cli("estimate", *equal, *on, "--rate", "0.001/s").exit_code == 0
    assert re.search(r'data-key="serving.span_s">[\d.]+ days</data>', page.read_text())
    result = run_cli("estimate", *equal, *on, "--serving", "offline", "--format", "json")
    seconds = json.loads(result.stdout)["seconds"]
    assert f'data-key="seconds">{duration(seconds)}</data>' in page.read_text()
