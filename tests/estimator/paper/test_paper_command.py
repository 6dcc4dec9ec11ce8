"""`joulecast paper`: what it shows and draws, of shipped tables and of some beside them."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import joulecast.measurements
from joulecast.estimator.paper.claims.claim import paper_figures
from joulecast.estimator.paper.claims.compare import Finding, compare_paper
from joulecast.estimator.paper.claims.verdict import Verdict
from joulecast.measurements.table.table import load_table
from tests.conftest import RunCli

STUDY = Path(joulecast.measurements.__file__).parent / "studies/h200-sxm/llama-3.1-8b"
EAGER_PYTORCH = {"engine": "pytorch", "engine_version": "transformers 5.17.0"}

pytestmark = pytest.mark.slow  # all tables are read

Variant = Callable[..., Path]


@pytest.fixture
def variant(tmp_path: Path) -> Variant:
    """A copy of the study of batches: what it took times a factor, of other settings."""

    def copy(name: str, factor: float, repeats: int = 1, **settings: object) -> Path:
        folder = tmp_path / name
        shutil.copytree(STUDY / "vllm-batches", folder)
        (folder / "phases.csv").unlink()
        metadata = json.loads((folder / "table.json").read_text())
        metadata |= {key: settings.pop(key) for key in EAGER_PYTORCH if key in settings}
        metadata["engine_settings"] |= settings
        del metadata["variant"]  # what was asked for
        (folder / "table.json").write_text(json.dumps(metadata))
        with (folder / "runs.csv").open() as file:
            rows = list(csv.DictReader(file))
        with (folder / "runs.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            for row in rows:
                for run in range(1, repeats + 1):
                    more = factor * (1 + 1e-3 * (run - 2))
                    other = {name: float(row[name]) * more for name in ("energy_j", "seconds")}
                    other |= {"run": run}
                    writer.writerow({**row, **other})
        return folder

    return copy


def findings(*folders: Path) -> dict[str, Finding]:
    """Of these tables alone."""
    tables = [load_table(folder) for folder in folders]
    return {
        each.claim.name: each
        for each in compare_paper([*paper_figures().values()], tables).findings
    }


def test_compiled_pytorch_resolves_its_claims(variant: Variant) -> None:
    once = variant("once", 1.0, **EAGER_PYTORCH, compiled=False)
    eager = variant("eager", 1.0, 2, **EAGER_PYTORCH, compiled=False)
    compiled = variant("compiled", 0.7, 2, **EAGER_PYTORCH, compiled=True)
    # The first run of a batch makes plans for new shapes: alone it tells nothing.
    assert "plans for new shapes" in findings(once, compiled)["compile-a100"].ruling.reason
    found = findings(eager, compiled)
    assert found["compile-a100"].evidence[0].measured.low == pytest.approx(-30.035)
    assert found["compile-a100"].evidence[0].measured.runs == 1
    assert found["compile-a100"].ruling.verdict is Verdict.AGREES
    assert found["compile-6000-ada"].ruling.verdict is Verdict.DIFFERS
    # As much at every batch: no more at small ones, which one run of each cannot tell.
    assert "three runs" in found["compile-small"].ruling.reason


def test_invalid_runs_are_left_out_and_counted_once(variant: Variant) -> None:
    greedy = variant("greedy", 1.0)
    drawn = variant("low", 1.5, decoding_strategy="temperature:0.8")
    more = variant("high", 1.6, decoding_strategy="sampling")
    path = greedy / "runs.csv"
    valid, last = ",true,", path.read_text().splitlines()[-1]
    assert last.startswith("512,64,4,")
    path.write_text(path.read_text().replace(last, last.replace(valid, ",false,") + "too hot"))
    evidence = findings(greedy, drawn, more)["temperature-small"].evidence[0]
    assert evidence.invalid_runs == 1
    assert evidence.size == 2 * 9
    assert 4 not in {change.batch_size for each in evidence.compared for change in each.changes}


def test_decoding_strategies_resolve_theirs(variant: Variant) -> None:
    greedy = variant("greedy", 1.0, repeats=3)
    drawn = [
        variant("temperature", 1.01, repeats=3, decoding_strategy="temperature:0.8"),
        variant("top-p", 1.02, repeats=3, decoding_strategy="top-p:0.9"),
        variant("beam", 3.5, decoding_strategy="beam:4"),
    ]
    found = findings(greedy, *drawn)
    small = found["temperature-small"]
    assert small.evidence[0].measured.low == pytest.approx(1)
    assert small.ruling.verdict is Verdict.AGREES
    assert found["top-p-small"].evidence[0].measured.low == pytest.approx(2)
    assert found["beam-small"].ruling.verdict is Verdict.DIFFERS
    assert found["beam-small"].ruling.gap == pytest.approx(250 - 25.65, abs=0.5)


def test_drafts_make_a_range_over_their_acceptance(variant: Variant) -> None:
    plain = variant("plain", 1.0)
    drafts = [
        variant("low", 1.3, speculation="llama-3.2-1b,4,0.5"),
        variant("high", 0.6, speculation="llama-3.2-1b,4,0.8"),
        variant("other", 0.1, speculation="llama-3.2-1b,2,0.8"),  # another look-ahead
    ]
    one = findings(plain, *drafts)["speculation-1"]
    measured = one.evidence[0].measured
    assert (measured.low, measured.high) == (pytest.approx(-40), pytest.approx(30))
    assert one.ruling.verdict is Verdict.AGREES
    assert "llama-3.2-1b 4 tokens ahead, 50 % and 80 % accepted" in one.evidence[0].at
    many = findings(plain, drafts[1])["speculation-128"]
    assert many.ruling.verdict is Verdict.DIFFERS


def test_a_table_of_ones_own_counts_and_is_drawn(
    run_cli: RunCli, variant: Variant, tmp_path: Path
) -> None:
    draft = variant("draft", 0.7, speculation="llama-3.2-1b,4,0.6")
    picture = tmp_path / "speculation.svg"
    result = run_cli("paper", "speculation", "--table", draft, "--plot", picture)
    assert result.exit_code == 0, result.output
    assert "60 %" in result.stdout
    assert "<svg" in picture.read_text()
    result = run_cli("paper", "speculation", "--table", draft, "--plot", draft / "host.csv.svg")
    assert result.exit_code == 0
    taken = draft / "taken.png"
    taken.write_text("mine")
    result = run_cli("paper", "speculation", "--table", draft, "--plot", taken)
    assert result.exit_code == 1
    assert "is a file of a table that was given" in result.stderr


def test_pictures_of_all_that_was_measured(run_cli: RunCli, tmp_path: Path) -> None:
    result = run_cli("paper", "--plot", tmp_path / "p.png")
    assert result.exit_code == 0, result.output
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {f"p-{figure}.png" for figure in paper_figures()}


@pytest.mark.parametrize(
    ("words", "status", "fragment"),
    [
        (("compilaton",), 1, 'unknown figure "compilaton"; did you mean "compilation"?'),
        (("--plot", "x.bmp"), 1, "ends in one of .png, .svg, .pdf"),
        (("--plot", "/nowhere/x.png"), 1, "folder does not exist"),
        (("-o", "/nowhere/x.json"), 1, "folder does not exist"),
        (("--table", "nowhere"), 1, 'unknown table "nowhere"'),
        (("--format", "xml"), 2, "xml"),
    ],
)
def test_bad_words(
    words: tuple[str, ...],
    status: int,
    fragment: str,
    run_cli: RunCli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run_cli("paper", *words)
    assert result.exit_code == status
    assert fragment in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_json_and_csv_have_a_claim_each(run_cli: RunCli) -> None:
    document = json.loads(run_cli("paper", "--format", "json").stdout)
    claims = {claim["claim"]: claim for claim in document["claims"]}
    assert claims.keys() == {
        claim.name for figure in paper_figures().values() for claim in figure.claims
    }
    for claim in claims.values():
        assert claim["verdict"] in {verdict.value for verdict in Verdict}
        assert bool(claim["cause"]) == (claim["verdict"] == "differs")
        assert bool(claim["needs"]) == (claim["verdict"] == "cannot be told here")
    assert [card["gpu"] for card in document["cards"]][-1] == "rtx-a6000"
    rows = list(csv.DictReader(io.StringIO(run_cli("paper", "mixtures", "--format", "csv").stdout)))
    assert [row["claim"] for row in rows] == [
        "mixture-energy",
        "mixture-slower-1",
        "mixture-slower-8",
    ]
    assert float(rows[0]["measured.low"]) == claims["mixture-energy"]["measured"][0]["low"]


def test_a_figure_alone_is_shown_alone(run_cli: RunCli) -> None:
    text = run_cli("paper", "tensor-parallel").stdout
    assert "Figure 4" in text
    assert "Figure 3" not in text
    assert "differs by -6.6 points" in text
    assert "1, 2 and 4 NVIDIA H200 141GB HBM3e (SXM), vllm 0.22.0, 11 to 13 invalid runs" in text
    assert text.count("NVIDIA H200") == 1
