"""The paper's Tables 1 to 3 beside what is at hand."""

import csv
import io
import json
import random
from pathlib import Path

import pytest

from joulecast.traces.errors import InputError
from joulecast.traces.public.catalog import find_entry
from joulecast.traces.public.paper_datasets import burstgpt_subsets
from tests.conftest import RunCli

HEAD = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"


def test_published_figures_stand_beside_ours(run_cli: RunCli) -> None:
    document = json.loads(run_cli("tables", "--format", "json").stdout)
    rows = {row["dataset"]: row for row in document["traces"]}
    assert len(rows) == 5
    burst = rows["BurstGPT"]
    assert burst["source"] == "reconstructed"
    assert burst["published"]["output"] == {
        "mean": 35.10, "sd": 108.59, "median": 7, "percentile_99": 478
    }  # fmt: skip
    assert burst["output_tokens"]["mean"] == pytest.approx(35.10, rel=1e-3)
    assert rows["Azure Code (2023)"]["published"] is None
    assert [row["published"]["output_tokens"] for row in document["tasks"]] == [64, 64, 1, 64]
    shown = run_cli("tables").stdout
    heads = (
        "Table 1: input lengths of the traces",
        "Table 2: output lengths of the traces",
        "Table 3: input lengths of the NLP tasks",
    )
    places = [shown.index(text) for text in (*heads, "Which BurstGPT file")]
    assert places == sorted(places)
    assert "published" in shown


def test_all_three_tables_are_in_the_csv(run_cli: RunCli) -> None:
    rows = list(csv.DictReader(io.StringIO(run_cli("tables", "--format", "csv").stdout)))
    assert [row["table"] for row in rows] == ["1"] * 5 + ["2"] * 5 + ["3"] * 4
    assert rows[0]["dataset"] == rows[5]["dataset"] == "BurstGPT"
    assert (rows[0]["published_mean"], rows[5]["published_mean"]) == ("256.8", "35.1")
    assert rows[10]["source"] == "published only"


def test_a_fetched_file_is_exact_and_its_best_part_is_named(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two models, one has about the published lengths; the other is far off."""
    monkeypatch.setenv("JOULECAST_CACHE", str(tmp_path))
    rng = random.Random(5)
    rows = []
    for k in range(6000):
        near = max(1, round(rng.gauss(257, 242))), max(1, round(rng.expovariate(1 / 35.1)))
        rows.append(f"{k},ChatGPT,{near[0]},{near[1]},0,API log\n")
        rows.append(f"{k},GPT-4,5000,{k % 3},0,Conversation log\n")
    entry = find_entry("burstgpt-1.1-1")
    entry.folder.mkdir(parents=True)
    entry.file.write_text(HEAD + "".join(rows))
    assert run_cli("trace", "fetch", entry.name).exit_code == 0
    best = burstgpt_subsets()[0]
    assert best.file == entry.name
    assert best.label.startswith("ChatGPT, ")
    assert best.off < 0.7
    document = json.loads(run_cli("tables", "--format", "json").stdout)
    row = {row["dataset"]: row for row in document["traces"]}["BurstGPT"]
    assert (row["source"], row["trace"]) == ("trace", entry.name)
    low, high = row["input_tokens"]["median"]
    assert low == high  # exact, from the file
    assert document["burstgpt_subsets"][0]["label"] == best.label
    assert "Closest to the published BurstGPT: burstgpt-1.1-1, ChatGPT" in (
        run_cli("tables").stdout.replace("\n  ", " ")
    )
    entry.file.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="is not a BurstGPT file"):
        burstgpt_subsets()
    assert run_cli("tables").exit_code == 1


def test_unknown_tasks_and_files_are_refused(run_cli: RunCli, tmp_path: Path) -> None:
    assert 'did you mean "imdb"' in run_cli("tables", "--task", "imbd=x").stderr
    assert run_cli("tables", "--task", f"imdb={tmp_path / 'none.json'}").exit_code == 1
