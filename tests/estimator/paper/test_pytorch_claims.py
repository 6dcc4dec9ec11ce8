"""Claims of plain PyTorch: which of its windows count, on which cards, and its sweeps."""

import csv
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

import joulecast.measurements
from joulecast.estimator.paper.claims.claim import figures_named, repeatability
from joulecast.estimator.paper.claims.compare import Finding, compare_paper
from joulecast.estimator.paper.claims.phases import PhasePoint, Phases
from joulecast.estimator.paper.claims.verdict import Verdict
from joulecast.measurements.table.phases import PhaseSplit, write_phases
from joulecast.measurements.table.table import load_table
from tests.conftest import RunCli

STUDY = Path(joulecast.measurements.__file__).parent / "studies/h200-sxm/llama-3.1-8b"
PLAIN, COMPILED = "pytorch-batches-repeated", "pytorch-compiled-batches-repeated"
FIRST, SECOND = "GPU-first", "GPU-second"

pytestmark = pytest.mark.slow  # tables are read

Batch = tuple[int, int, int]
MakeTable = Callable[..., Path]


@pytest.fixture
def make_table(tmp_path: Path) -> MakeTable:
    """A study's table with made-up runs: (card, batch, J of a batch), in their order."""

    def make(name: str, study: str, runs: Iterable[tuple[str, Batch, float]]) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        metadata = json.loads((STUDY / study / "table.json").read_text())
        (folder / "table.json").write_text(json.dumps(metadata | {"measured_cells": 0}))
        with (STUDY / study / "runs.csv").open() as file:
            row = next(csv.DictReader(file))
        with (folder / "runs.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            writer.writeheader()
            for second, (card, batch, energy_j) in enumerate(runs):
                made = dict(
                    zip(("input_tokens", "output_tokens", "batch_size"), batch, strict=True)
                )
                made |= {"gpu": card, "run": second + 1, "batches": 1, "energy_j": energy_j}
                made |= {"started_at": f"2026-11-29T14:00:{second:02d}+00:00"}
                made |= {"seconds": energy_j / 400, "mean_power_w": 400.0}
                writer.writerow({**row, **made})
        return folder

    return make


def findings(figure: str, *folders: Path) -> dict[str, Finding]:
    """Of these tables alone."""
    tables = [load_table(folder) for folder in folders]
    return {
        each.claim.name: each for each in compare_paper(figures_named([figure]), tables).findings
    }


def of_sizes(joules: dict[int, float]) -> list[tuple[Batch, float]]:
    return [((512, 64, size), energy_j) for size, energy_j in joules.items()]


def test_eager_of_one_card_is_never_mixed_with_compiled_of_another(make_table: MakeTable) -> None:
    """The card that both ran on counts, and of its windows those without plans, if it has any."""
    once = [(FIRST, batch, j) for batch, j in of_sizes({2: 900.0, 64: 2000.0})]
    twice = [(SECOND, batch, j) for batch, j in of_sizes({2: 950.0, 64: 2100.0})]
    twice += [(SECOND, batch, j) for batch, j in of_sizes({2: 400.0, 64: 1200.0})]
    eager = [make_table("once", PLAIN, once), make_table("twice", PLAIN, twice)]
    first = make_table("first", COMPILED, [(FIRST, (512, 64, 64), 1000.0)])
    told = findings("compilation", *eager, first)["compile-small"]
    assert told.evidence == []  # no small batch
    both = make_table(
        "both", COMPILED, [(FIRST, (512, 64, 2), 300.0), (SECOND, (512, 64, 2), 280.0)]
    )
    by_claim = findings("compilation", *eager, first, both)
    assert by_claim["compile-a100"].evidence[0].measured.low == pytest.approx(-30)  # 280 over 400
    assert by_claim["compile-a100"].ruling.verdict is Verdict.AGREES
    (compared,) = by_claim["compile-a100"].evidence[0].compared
    large = compared.changes[-1]
    assert (large.batch_size, large.has_new_shapes) == (64, True)
    assert large.percent == pytest.approx(-50)  # 1,000 over 2,000, on the first card
    # A trend takes no batch whose windows hold plans, while two others are without.
    assert by_claim["compile-small"].evidence[0].at == "batch 2 less batch 64"
    assert "plans for new shapes" in by_claim["compile-small"].ruling.reason
    runs = [(SECOND, (512, 64, 16), j) for j in (800.0, 600.0)]
    sixteen = make_table("16", PLAIN, runs), make_table("16c", COMPILED, [(*runs[0][:2], 540.0)])
    small = findings("compilation", *eager, first, both, *sixteen)["compile-small"]
    assert small.evidence[0].at == "batch 2 less batch 16"
    assert small.evidence[0].measured.low == pytest.approx(-20)  # 30 % less, and 10
    alone = findings("compilation", eager[0], make_table("only", COMPILED, [both_of(FIRST)]))
    assert "plans for new shapes" in alone["compile-a100"].ruling.reason


def both_of(card: str) -> tuple[str, Batch, float]:
    return card, (512, 64, 2), 300.0


def points(cards: list[str]) -> list[PhasePoint]:
    """Energy in proportion to the input, a percent uncertain."""
    return [
        PhasePoint(length, 64, 1, float(length), 1.0, 0.01, 0.01, [1.0], [card])
        for length, card in zip((256, 512, 1024, 2048), cards, strict=True)
    ]


def test_a_card_is_held_beside_itself_along_lengths() -> None:
    slope, error = Phases.exponent(points([FIRST] * 4), "prefill", "input")
    assert slope == pytest.approx(1)
    assert error == pytest.approx(0.01 / math.log(2) / math.sqrt(5))
    # Two pairs of neighbours: what lies between the pairs may be the card.
    halves = points([FIRST] * 2 + [SECOND] * 2)
    dearer = [
        *halves[:2],
        *(replace(point, prefill_j=1.3 * point.prefill_j) for point in halves[2:]),
    ]
    for of_cards in (halves, dearer):
        slope, error = Phases.exponent(of_cards, "prefill", "input")
        assert slope == pytest.approx(1)
        assert error == pytest.approx(0.01 / math.log(2))


def test_changes_are_told_card_by_card(make_table: MakeTable) -> None:
    """A card that takes more for everything, and has more runs on one side, changes nothing."""
    batch = 512, 64, 8
    eager = [(FIRST, batch, 900.0), (FIRST, batch, 1000.0), (SECOND, batch, 800.0)]
    eager += [(SECOND, batch, 800.0), (SECOND, batch, 800.0)]
    compiled = [(FIRST, batch, 500.0), (FIRST, batch, 500.0), (SECOND, batch, 400.0)]
    folders = make_table("eager", PLAIN, eager), make_table("compiled", COMPILED, compiled)
    evidence = findings("compilation", *folders)["compile-a100"].evidence[0]
    assert evidence.measured.low == pytest.approx(-50)
    (change,) = evidence.compared[0].changes
    window = repeatability("pytorch")
    # One window over one (the first is of new shapes), two over the last two of the other card.
    errors = [1.96 * window * math.sqrt(1 / n + 1 / m) for n, m in ((2, 1), (1, 2))]
    assert change.error == pytest.approx(50 / math.sqrt(sum(each**-2 for each in errors)))


def test_a_run_that_two_tables_hold_is_one(make_table: MakeTable) -> None:
    eager = make_table("eager", PLAIN, [(FIRST, (512, 64, 8), j) for j in (1000.0, 1000.0)])
    compiled = make_table("compiled", COMPILED, [(FIRST, (512, 64, 8), 500.0)])
    once = findings("compilation", eager, compiled)["compile-a100"].evidence[0]
    twice = findings("compilation", eager, compiled, eager, compiled)["compile-a100"].evidence[0]
    assert twice.measured == once.measured
    # And one batch alone has no trend.
    assert findings("compilation", eager, compiled)["compile-small"].evidence == []


def test_a_window_with_plans_on_either_card_counts_as_such(make_table: MakeTable) -> None:
    """The two sides share cards only where one of them made plans on each."""
    batch = 512, 64, 8
    eager = [(FIRST, batch, 900.0), (FIRST, batch, 800.0), (SECOND, batch, 900.0)]
    folders = (
        make_table("eager", PLAIN, eager),
        make_table("compiled", COMPILED, [(SECOND, batch, 450.0)]),
    )
    evidence = findings("compilation", *folders)["compile-a100"].evidence[0]
    assert evidence.measured.low == pytest.approx(-50)
    assert evidence.measured.has_new_shapes


def test_cards_that_disagree_make_the_error_larger(make_table: MakeTable) -> None:
    batch = 512, 64, 8
    eager = [(card, batch, 1000.0) for card in (FIRST, FIRST, SECOND, SECOND)]
    compiled = [(FIRST, batch, 500.0), (SECOND, batch, 980.0)]
    folders = make_table("eager", PLAIN, eager), make_table("compiled", COMPILED, compiled)
    evidence = findings("compilation", *folders)["compile-a100"].evidence[0]
    assert evidence.measured.low == pytest.approx(-30)  # the geometric mean of 0.5 and 0.98
    # Two values that far apart: half their difference, as a 95 % interval has it.
    assert evidence.measured.error == pytest.approx(70 * 1.96 * math.log(0.98 / 0.5) / 2)


@pytest.fixture
def sweeps(make_table: MakeTable) -> Callable[[bool], Path]:
    """PyTorch's sweeps as they would be measured: whether each batch has a second window."""

    def make(is_repeated: bool) -> Path:
        lengths = [(i, 64) for i in (256, 2048, 8192)] + [(512, o) for o in (8, 64, 512)]
        batches = [(i, o, 1) for i, o in lengths]
        runs = [(FIRST, batch, 100.0) for batch in (batches * 2 if is_repeated else batches)]
        folder = make_table(f"sweeps-{is_repeated}", PLAIN, runs)
        metadata = json.loads((folder / "table.json").read_text())
        (folder / "table.json").write_text(json.dumps(metadata | {"plan": "sweeps"}))
        parts = []
        for number, (_, (i, o, size), _) in enumerate(runs):
            decode_j = 2.0 * o + (1000.0 if number < len(batches) else 0.0)
            told = (
                0.02 * i,
                0.01,
                decode_j,
                0.01,
                0.0,
                0.02 * i + decode_j,
                1.0,
                3.0,
                0,
            )
            parts.append(PhaseSplit(i, o, size, number + 1, 1, *told))
        write_phases(folder / "phases.csv", ["made up"], parts)
        return folder

    return make


def test_sweeps_of_pytorch_come_after_those_of_vllm(
    sweeps: Callable[[bool], Path], run_cli: RunCli, tmp_path: Path
) -> None:
    folder = sweeps(True)
    picture = tmp_path / "sweeps.svg"
    text = run_cli("paper", "sweeps", "--table", folder, "--plot", picture).stdout
    words = " ".join(text.split())
    assert words.count("pytorch transformers 5.17.0: power") >= 3  # prefill and decoding
    drawn = picture.read_text()
    assert "pytorch: prefill" in drawn.replace("<!-- ", "")
    document = json.loads(run_cli("paper", "sweeps", "--table", folder, "--format", "json").stdout)
    linear = next(claim for claim in document["claims"] if claim["claim"] == "prefill-linear")
    assert [each["engines"].split()[0] for each in linear["measured"]] == ["vllm", "pytorch"]
    alone = findings("sweeps", folder)["prefill-linear"]
    assert alone.evidence[0].measured.low == pytest.approx(1)
    assert alone.ruling.verdict is Verdict.AGREES


def test_sweeps_whose_windows_all_hold_plans_tell_nothing(sweeps: Callable[[bool], Path]) -> None:
    told = findings("sweeps", sweeps(False))["decode-linear"]
    assert "plans for new shapes" in told.ruling.reason
    assert told.evidence[0].measured.low < 0.7  # 1,000 J of plans in each window
    settled = findings("sweeps", sweeps(True))["decode-linear"]
    assert settled.evidence[0].measured.low == pytest.approx(1)
    assert settled.ruling.verdict is Verdict.AGREES
