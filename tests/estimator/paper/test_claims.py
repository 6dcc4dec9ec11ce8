"""What stands beside the paper's claims, recomputed from the shipped runs by other arithmetic."""

import csv
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import joulecast.measurements
from joulecast.estimator.paper.claims.claim import (
    card_spread,
    figures_named,
    paper_figures,
    repeatability,
)
from joulecast.estimator.paper.claims.compare import (
    Finding,
    PaperComparison,
    compare_paper,
    shipped_tables,
)
from joulecast.estimator.paper.claims.deployments import Way, runs_with_plans
from joulecast.estimator.paper.claims.verdict import Verdict
from joulecast.measurements.table.studies import load_study, study_names
from joulecast.measurements.table.table import load_table
from joulecast.traces.errors import InputError

ROOT = Path(joulecast.measurements.__file__).parent
H200 = ROOT / "studies/h200-sxm"
FIRST_CARD = "GPU-0c083e1e"
"""That greedy and drawn tokens were measured on; a second one has five runs of top-p, too."""
H100 = ROOT / "tables/h100-sxm/llama-3.1-8b"

pytestmark = pytest.mark.slow  # all tables are read


@pytest.fixture(scope="module")
def comparison() -> PaperComparison:
    return compare_paper(figures_named(()), shipped_tables())


@pytest.fixture(scope="module")
def finding(comparison: PaperComparison) -> Callable[[str], Finding]:
    findings = {each.claim.name: each for each in comparison.findings}
    return findings.__getitem__


def rows(*folders: Path, on: str = "") -> dict[tuple[int, int, int], list[tuple[float, float]]]:
    """Batch -> J and s of one batch, of every valid row (of a card), as the file has them."""
    batches = defaultdict(list)
    for folder in folders:
        with (folder / "runs.csv").open() as file:
            for row in csv.DictReader(file):
                if row["valid"] == "true" and row["gpu"].startswith(on):
                    key = tuple(
                        int(row[n]) for n in ("input_tokens", "output_tokens", "batch_size")
                    )
                    count = int(row["batches"])
                    batches[key].append(
                        (float(row["energy_j"]) / count, float(row["seconds"]) / count)
                    )
    return batches


def percent(ours, theirs, size: int, column: int = 0) -> float:
    """How much more one takes for requests of 512 and 64 tokens [%]."""
    mine, other = (
        sum(each[column] for each in of[512, 64, size]) / len(of[512, 64, size])
        for of in (ours, theirs)
    )
    return (mine - other) / other * 100


def test_cuda_graphs(finding: Callable[[str], Finding]) -> None:
    graphs = rows(H200 / "llama-3.1-8b/vllm-batches")  # on the card of the eager ones
    eager = rows(H200 / "llama-3.1-8b/vllm-eager-batches")
    changes = {size: percent(graphs, eager, size) for size in (1, 2, 4, 8, 16, 32, 64, 128, 256)}
    evidence = finding("graphs-a100").evidence[0]
    assert evidence.gpu == "h200-sxm"
    assert evidence.measured.low == pytest.approx(min(changes.values()))
    assert evidence.measured.low == evidence.measured.high == pytest.approx(-27.0, abs=0.05)
    assert finding("graphs-a100").ruling.verdict is Verdict.AGREES
    assert finding("graphs-a6000").ruling.verdict is Verdict.DIFFERS
    assert finding("graphs-a6000").ruling.gap == pytest.approx(min(changes.values()) + 2.97)
    small = finding("graphs-small")
    assert small.evidence[0].measured.low == pytest.approx(
        changes[1] - percent(graphs, eager, 1024)
    )
    assert small.ruling.verdict is Verdict.AGREES


def test_the_mixture(finding: Callable[[str], Finding]) -> None:
    mixture, dense = (rows(H200 / name / "vllm-batches") for name in ("olmoe-1b-7b", "olmo-1b"))
    energies = [percent(mixture, dense, size) for _, _, size in dense]
    assert finding("mixture-energy").evidence[0].measured.high == pytest.approx(max(energies))
    for size in (1, 8):
        evidence = finding(f"mixture-slower-{size}").evidence[0]
        assert evidence.measured.low == pytest.approx(percent(mixture, dense, size, 1))
        # One run on each side, one card: 1.96 times the sd of a window, twice.
        ratio = 1 + evidence.measured.low / 100
        assert evidence.measured.error == pytest.approx(196 * 0.018 * math.sqrt(2) * ratio)
    seven = rows(H200 / "olmo-7b/vllm-batches")
    less = [percent(mixture, seven, size) for _, _, size in seven if size <= 256]
    assert (round(min(less)), round(max(less))) == (-73, -46)  # docs/paper.md


def test_two_gpus(finding: Callable[[str], Finding]) -> None:
    expected: dict[str, tuple[list[float], list[float]]] = {}
    for model in ("llama-3.1-8b", "qwen1.5-32b"):
        one, two = (rows(H200 / model / f"vllm-{name}") for name in ("batches", "tp2-batches"))
        sizes = [size for i, o, size in two if (i, o, size) in one and size <= 256]
        expected[model] = tuple([percent(two, one, size, c) for size in sizes] for c in (0, 1))
    for column, name in enumerate(("two-gpus-energy", "two-gpus-time")):
        compared = finding(name).evidence[0].compared
        for each in compared:
            ours = {c.batch_size: c.percent for c in each.changes if c.batch_size <= 256}
            assert sorted(ours.values()) == pytest.approx(sorted(expected[each.way.model][column]))
    assert finding("two-gpus-time").ruling.verdict is Verdict.AGREES
    assert finding("two-gpus-energy").ruling.verdict is Verdict.DIFFERS
    # One card of Qwen1.5-32B's four was metered alone; none of Llama-3.1-8B's.
    beside = {"llama-3.1-8b": ("batches", 1.5), "qwen1.5-32b": ("batches-second", 1e-9)}
    for column, name in enumerate(("four-gpus-energy", "four-gpus-time")):
        compared = {each.way.model: each for each in finding(name).evidence[0].compared}
        assert set(compared) == set(beside)
        for model, (study, within) in beside.items():
            one, four = (rows(H200 / model / f"vllm-{each}") for each in (study, "tp4-batches"))
            largest = {c.batch_size: c.percent for c in compared[model].changes}[256]
            assert largest == pytest.approx(percent(four, one, 256, column), abs=within)
        assert finding(name).ruling.verdict is Verdict.AGREES


def test_drawn_tokens(finding: Callable[[str], Finding]) -> None:
    greedy, warm, likely = (
        rows(H200 / "llama-3.1-8b" / f"vllm-{name}", on=FIRST_CARD)
        for name in ("greedy", "temperature-0.8", "top-p-0.9")
    )
    changes = {size: percent(warm, greedy, size) for size in (1, 8, 64, 128)}
    ends = round(min(changes.values()), 1), round(max(changes.values()), 1)
    assert ends == (0.4, 0.8)  # docs/paper.md
    temperature, top_p = finding("temperature-small"), finding("top-p-small")
    assert temperature.evidence[0].measured.low == pytest.approx(max(changes.values()))
    assert temperature.evidence[0].measured.runs == 3
    assert temperature.ruling.verdict is Verdict.AGREES
    second = [rows(H200 / f"llama-3.1-8b/vllm-{name}-second") for name in ("greedy", "top-p-0.9")]
    of_second = {size: percent(*reversed(second), size) for size in (1, 8, 64, 128)}
    assert [round(each, 1) for each in of_second.values()] == [1.0, 5.0, 3.5, 5.1]  # docs/paper.md
    # Largest at 128, between what both cards say. Where a window of the first compiled kernels its
    # runs scatter, so that it counts for little.
    assert of_second[128] < top_p.evidence[0].measured.low < percent(likely, greedy, 128)
    (compared,) = top_p.evidence[0].compared
    told = {change.batch_size: change.percent for change in compared.changes}
    assert abs(told[8] - of_second[8]) < 0.1 < percent(likely, greedy, 8) - of_second[8]
    assert top_p.ruling.verdict is Verdict.AGREES


def test_compiling_rests_on_windows_without_plans_on_the_same_card(
    finding: Callable[[str], Finding],
) -> None:
    """Second windows of plain PyTorch; a batch that has none compares those that hold plans."""
    folder = H200 / "llama-3.1-8b"
    compiled = rows(folder / "pytorch-compiled-batches-repeated")
    settled = pytorch_rows(folder / "pytorch-batches-repeated")
    changes = {size: percent(compiled, settled, size) for size in (2, 16, 32, 256)}
    assert [round(each) for each in changes.values()] == [-43, -13, 8, 36]  # docs/paper.md
    for name in ("compile-a100", "compile-6000-ada", "compile-a6000"):
        told = finding(name)
        assert told.evidence[0].measured.low == pytest.approx(min(changes.values()))
        assert told.ruling.gap == pytest.approx(min(changes.values()) - told.claim.published.value)
        assert told.ruling.verdict is Verdict.DIFFERS
    small_compiled = rows(folder / "pytorch-compiled-small")
    # One request: two windows in a process of their own, one in that of the sweeps.
    windows = rows(folder / "pytorch-small"), rows(folder / "pytorch-sweeps")
    settled[512, 64, 1] = [window for of in windows for window in of[512, 64, 1][1:]]
    changes[1] = percent(small_compiled, settled, 1)
    assert round(changes[1]) == -29  # docs/paper.md
    small = finding("compile-small")
    assert small.evidence[0].measured.low == pytest.approx(changes[1] - changes[256])
    assert small.ruling.verdict is Verdict.AGREES
    (compared,) = finding("compile-a100").evidence[0].compared
    of_size = {change.batch_size: change for change in compared.changes}
    assert not any(change.has_new_shapes for change in of_size.values())
    for size, of_card in (
        (8, percent(small_compiled, pytorch_rows(folder / "pytorch-small"), 8)),
        (128, percent(small_compiled, pytorch_rows(folder / "pytorch-small"), 128)),
    ):
        assert abs(of_size[size].percent - of_card) < of_size[size].error


def test_second_windows_of_pytorch_take_what_first_ones_do_beside_idle_power() -> None:
    """So that they differ by the time in which the card waits alone; docs/paper.md."""
    table = load_table(H200 / "llama-3.1-8b/pytorch-batches-repeated")
    idle_w = table.metadata["idle_power_w"]
    work_j = defaultdict(dict)
    for run in table.runs:
        work_j[run.batch_size][run.run] = (run.energy_j - idle_w * run.seconds) / run.batches
    assert all(abs(of[2] / of[1] - 1) < 0.04 for of in work_j.values())
    steps_ms = {r.batch_size: 1e3 * r.seconds / r.batches / 64 for r in table.runs if r.run == 2}
    assert [round(steps_ms[size]) for size in (1, 2, 4, 8, 16)] == [23, 38, 27, 33, 33]


def greedy_vllm() -> dict[tuple[int, int, int], list[tuple[float, float]]]:
    """All greedy windows of Llama-3.1-8B on one H200, whatever the card."""
    batches = (f"batches{which}" for which in ("", "-second", "-third", "-fourth", "-fifth"))
    names = (*batches, "sweeps", "greedy", "greedy-second")
    return rows(
        *(H200 / f"llama-3.1-8b/vllm-{name}" for name in names),
        *(ROOT / "tables/h200-sxm/llama-3.1-8b" / name for name in ("vllm", "vllm-quick")),
    )


def test_beams(finding: Callable[[str], Finding]) -> None:
    beams, of_pytorch, plain = (
        rows(H200 / "llama-3.1-8b" / name)
        for name in ("vllm-beam-4", "pytorch-beam-4", "pytorch-batches")
    )
    changes = [percent(beams, greedy_vllm(), size) for size in (1, 8, 64, 128)]
    assert [round(each) for each in changes] == [71, 174, 384, 433]  # docs/paper.md
    assert [round(percent(of_pytorch, plain, size)) for size in (1, 128)] == [-1, 286]
    four = rows(H200 / "llama-3.1-8b/vllm-batches")
    over = [beams[512, 64, n][0][0] / four[512, 64, 4 * n][0][0] for n in (1, 8, 64)]
    assert (round(100 * min(over)), round(100 * max(over))) == (130, 143)
    assert finding("beam-small").ruling.verdict is Verdict.DIFFERS


def test_drafts(finding: Callable[[str], Finding]) -> None:
    folder = H200 / "llama-3.1-8b"
    plain = greedy_vllm()
    for size, verdict in ((1, Verdict.DIFFERS), (128, Verdict.AGREES)):
        changes = {
            rate: percent(rows(folder / f"vllm-acceptance-{rate}"), plain, size)
            for rate in ("0.5", "0.7", "0.9")
        }
        measured = finding(f"speculation-{size}").evidence[0].measured
        assert measured.low == pytest.approx(changes["0.9"])
        assert measured.high == pytest.approx(changes["0.5"])
        assert finding(f"speculation-{size}").ruling.verdict is verdict
    always = percent(rows(folder / "vllm-acceptance-1"), plain, 1)
    assert round(always) == -17  # docs/paper.md


def test_vllm_against_pytorch(finding: Callable[[str], Finding]) -> None:
    evidence = finding("vllm-saves").evidence[0]
    ours = rows(*(H100 / n for n in ("vllm", *other_plain_vllm())))
    theirs = pytorch_rows(H100 / "pytorch")
    least = max(
        statistics.fmean(e for e, _ in ours[batch]) / statistics.fmean(e for e, _ in theirs[batch])
        for batch in theirs
        if batch in ours
    )
    assert evidence.measured.high == pytest.approx(100 * (least - 1))
    assert evidence.size == sum(batch in ours for batch in theirs)


def pytorch_rows(folder: Path) -> dict[tuple[int, int, int], list[tuple[float, float]]]:
    """The same of PyTorch: runs that make plans for new lengths count where there are no others."""
    batches, met = defaultdict(list), defaultdict(set)
    with (folder / "runs.csv").open() as file:
        for row in sorted(csv.DictReader(file), key=lambda row: row["started_at"]):
            i, o, size = (int(row[n]) for n in ("input_tokens", "output_tokens", "batch_size"))
            before = met[row["gpu"], size]
            is_new = not before.issuperset(range(i, i + o))
            before.update(range(i, i + o))
            if row["valid"] == "true":
                told = float(row["energy_j"]) / int(row["batches"]), float(row["seconds"])
                batches[i, o, size].append((is_new, told))
    return {
        batch: [told for is_new, told in runs if not is_new] or [told for _, told in runs]
        for batch, runs in batches.items()
    }


def other_plain_vllm() -> list[str]:
    """The other H100 tables of Llama-3.1-8B of one GPU, plain weights and graphs."""
    names = ("first-card", "quick", "quick-second", "quick-third", "quick-fourth")
    return [f"vllm-{name}" for name in names if (H100 / f"vllm-{name}").is_dir()]


def test_compiled_pytorch_takes_more_at_its_largest_batches() -> None:
    compiled, plain = rows(H100 / "pytorch-compiled"), rows(H100 / "pytorch")
    changes = [
        statistics.fmean(e for e, _ in compiled[batch])
        / statistics.fmean(e for e, _ in plain[batch])
        for batch in compiled
        if batch in plain
    ]
    # What docs/paper.md says of them.
    assert (round(100 * min(changes) - 100), round(100 * max(changes) - 100)) == (6, 39)


def phase_rows(name: str) -> dict[tuple[int, int, int], dict[str, float]]:
    lines = [
        line
        for line in (H200 / name / "phases.csv").read_text().splitlines()
        if not line.startswith("#")
    ]
    table = [{key: float(text) for key, text in row.items()} for row in csv.DictReader(lines)]
    return {(row["input_tokens"], row["output_tokens"], row["batch_size"]): row for row in table}


def test_phases(finding: Callable[[str], Finding]) -> None:
    sweeps = phase_rows("llama-3.1-8b/vllm-sweeps")
    more = ("", "-second", "-third", "-fourth", "-fifth")
    studies = [sweeps, *(phase_rows(f"llama-3.1-8b/vllm-batches{which}") for which in more)]
    shares = [
        sum(of[512, 64, 64][f"{phase}_j"] / of[512, 64, 64]["batches"] for of in studies)
        for phase in ("prefill", "decode")
    ]
    expected = 100 * shares[1] / sum(shares)
    assert finding("decode-dominates-64").evidence[0].measured.low == pytest.approx(expected)
    # Between the two ends alone, the power of length is the ratio of two logarithms.
    first, last = (
        sweeps[512, out, 1]["decode_j"] / sweeps[512, out, 1]["batches"] for out in (8, 4096)
    )
    power = math.log(last / first) / math.log(4096 / 8)
    evidence = finding("decode-linear").evidence[0].measured
    assert abs(evidence.low - power) < 0.03
    short = {key: row for key, row in sweeps.items() if key[2] == 1 and 32 <= key[0] <= 128}
    with (H200 / "llama-3.1-8b/vllm-sweeps/runs.csv").open() as file:
        card_of = {
            tuple(int(row[n]) for n in ("input_tokens", "output_tokens", "batch_size")): row["gpu"]
            for row in csv.DictReader(file)
        }
    cards = sorted({card_of[key] for key in short})
    errors = [math.hypot(r["prefill_error_j"] / r["prefill_j"], 0.018) for r in short.values()]
    # A line for each card, all of one slope.
    design = [[math.log(key[0]), *(card_of[key] == card for card in cards)] for key in short]
    energies = [math.log(row["prefill_j"] / row["batches"]) for row in short.values()]
    weights = 1 / np.array(errors)
    slope = np.linalg.lstsq(np.array(design) * weights[:, None], energies * weights)[0][0]
    flat = finding("prefill-flat")
    assert flat.evidence[0].measured.low == pytest.approx(slope)
    assert flat.evidence[0].measured.low == pytest.approx(0.14, abs=0.005)  # docs/paper.md
    assert flat.ruling.verdict is Verdict.AGREES


def test_repeatability_is_that_of_the_shipped_tables() -> None:
    h100 = [load_table(f"h100-sxm/llama-3.1-8b/{name}") for name in ("vllm", "vllm-first-card")]
    h200 = [load_study(name) for name in study_names() if "h200-sxm/llama-3.1-8b/pytorch" in name]
    for engine, tables in {"vllm": h100, "pytorch": h200}.items():
        groups = defaultdict(list)
        for table in tables:
            way = Way.of(table)
            for run, has_new_shapes in runs_with_plans(table):
                if run.valid and not has_new_shapes:
                    groups[way, run.batch, run.gpu].append(run.energy_j / run.batches)
        repeated = [values for values in groups.values() if len(values) > 1]
        squares, freedom = 0.0, 0
        for values in repeated:
            mean = sum(values) / len(values)
            squares += sum((value / mean - 1) ** 2 for value in values)
            freedom += len(values) - 1
        assert repeatability(engine) == pytest.approx(math.sqrt(squares / freedom), abs=0.001)
        assert len(repeated) == {"vllm": 58, "pytorch": 8}[engine]


def test_cards_of_a_kind_lie_apart() -> None:
    """So far, that is: the same requests on four H200s; docs/accuracy.md."""
    names = "vllm-batches", "vllm-sweeps", "vllm-greedy", "vllm-greedy-second"
    tables = [rows(H200 / "llama-3.1-8b" / name) for name in names]
    apart = {}
    for size in (1, 128):
        means = [
            statistics.fmean(j for j, _ in of[512, 64, size]) for of in tables if of[512, 64, size]
        ]
        apart[size] = max(means) / min(means) - 1
    assert [round(100 * each, 1) for each in apart.values()] == [13.2, 2.5]
    assert card_spread() == 0.13


def test_the_same_batches_on_two_cards_are_alike() -> None:
    first, second = (rows(H200 / "llama-3.1-8b" / name) for name in ("vllm-batches", "vllm-sweeps"))
    assert all(abs(percent(first, second, size)) < 0.7 for size in (1, 8, 64))  # docs/paper.md


def test_every_study_is_used_and_its_invalid_runs_count_for_nothing() -> None:
    tables = shipped_tables()
    assert {*study_names()} <= {table.name for table in tables}
    assert not any("by-hand" in table.name for table in tables)


def test_claims_are_whole() -> None:
    document = json.loads((ROOT.parent / "estimator/paper/claims/claims.json").read_text())
    assert {claim["figure"] for claim in document["claims"]} == set(paper_figures())
    for figure in paper_figures().values():
        for claim in figure.claims:
            assert claim.statement[0].isupper()
            assert claim.needs
            assert claim.cause or claim.measure is None
    names = [claim["name"] for claim in document["claims"]]
    assert len(names) == len(set(names))
    with pytest.raises(InputError, match='unknown figure "mixture"; did you mean'):
        figures_named(["mixture"])
