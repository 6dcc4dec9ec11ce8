"""What `joulecast paper` shows."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType

from joulecast.estimator.paper.claims.cards import LENGTHS, CardForecast
from joulecast.estimator.paper.claims.claim import PaperFigure, Published
from joulecast.estimator.paper.claims.compare import Finding, PaperComparison
from joulecast.estimator.paper.claims.measures import Evidence
from joulecast.estimator.paper.claims.verdict import Ruling, Verdict
from joulecast.measurements.hardware import load_gpu
from joulecast.views.parts import add_row, facts_table, grid_table, notes_text, title_text
from joulecast.views.report import Report

TITLE = (
    "The claims of Fernandez et al. (ACL 2025, arXiv 2504.17674) beside what was measured here\n"
    "each verdict follows from the numbers, by one rule"
)
NOTES = (
    """\
paper: its figure, and the card where it names one; here: ours with its 95 % interval (of a range,
half the widest one), and of which batch. Changes are in percent, gaps in points.""",
    """\
Within 5 points, or 0.25 of a power, the two agree: cards and versions are others. What rests on
less than 5 % takes three runs.""",
)


def paper_report(comparison: PaperComparison, cards: Sequence[CardForecast]) -> Report:
    """`joulecast paper`.

    Args:
        comparison: Of the figures to show.
        cards: Forecasts for the paper's cards; none where they are not asked for.
    """
    views: list[RenderableType] = [title_text(TITLE)]
    for figure in comparison.figures:
        views += ["", *_figure_views(figure, comparison.of(figure))]
        if figure.name == "cards":
            views.append(_cards_view(cards))
    document = {
        "claims": [finding.to_dict() for finding in comparison.findings],
        "cards": [card.to_dict() for card in cards],
    }
    rows = [_csv_row(finding) for finding in comparison.findings]
    return Report(
        document, rows, Group(*views, notes_text([note.replace("\n", " ") for note in NOTES]))
    )


def _figure_views(figure: PaperFigure, findings: Sequence[Finding]) -> list[RenderableType]:
    """The claims of a figure, and below them what each is."""
    view = grid_table(f"{figure.place}: {figure.title}")
    for heading in ("claim", "paper", "here", "verdict"):
        view.add_column(heading, overflow="fold", no_wrap=heading == "claim")
    for finding in findings:
        first = finding.evidence[0] if finding.evidence else None
        here = "-" if first is None else measured_text(finding.claim.published, first)
        paper = published_text(finding.claim.published)
        add_row(
            view,
            finding.claim.name,
            paper,
            here,
            verdict_text(finding.claim.published, finding.ruling),
        )
    facts = [(finding.claim.name, _told(finding)) for finding in findings]
    by_gpu: dict[str, list[Evidence]] = {}
    for first in (evidence for finding in findings for evidence in finding.evidence[:1]):
        by_gpu.setdefault(first.gpu, []).append(first)
    if by_gpu:
        facts.insert(0, ("measured on", "; ".join(_on(*each) for each in by_gpu.items())))
    return [view, facts_table(facts)]


def published_text(published: Published) -> str:
    """What the paper says, with its card."""
    return f"{published.text}, {published.gpu}" if published.gpu else published.text


def measured_text(published: Published, evidence: Evidence) -> str:
    """What was measured, with its 95 % interval and what it is of."""
    measured = evidence.measured
    ends = measured.low - measured.error, measured.high + measured.error
    if published.unit == "power of length":
        return f"power {measured.low:.2f} ({ends[0]:.2f} to {ends[1]:.2f}); {evidence.at}"
    sign = "" if published.unit == "% of energy" else "+"
    if measured.high != measured.low:
        within = f"{measured.low:{sign}.1f} to {measured.high:{sign}.1f}"
        error = max(measured.error, measured.high_error or 0)
        return f"{within} % (error {error:.1f}); {evidence.at}"
    return f"{measured.low:{sign}.1f} % ({ends[0]:{sign}.1f} to {ends[1]:{sign}.1f}); {evidence.at}"


def verdict_text(published: Published, ruling: Ruling) -> str:
    """The verdict, and by how much it differs."""
    if ruling.verdict is not Verdict.DIFFERS or ruling.gap is None:
        return ruling.verdict.value
    if published.unit == "power of length":
        return f"differs by {ruling.gap:+.2f}"
    return f"differs by {ruling.gap:+.1f} points"


def _told(finding: Finding) -> str:
    """The claim in words, what the comparison is of, and why the verdict is what it is."""
    claim, ruling = finding.claim, finding.ruling
    texts = [claim.statement]
    if finding.about and finding.evidence:
        texts.append(f"here: {finding.about}")
    if ruling.verdict is Verdict.DIFFERS:
        texts.append(f"likely cause: {claim.cause}")
    if ruling.verdict is Verdict.UNKNOWN:
        texts.append(f"{ruling.reason}; it would take {claim.needs}")
    texts += [
        f"on {_elsewhere(finding.evidence[0], other)}: {measured_text(claim.published, other)}, "
        + verdict_text(claim.published, finding.ruling_on(other))
        for other in finding.evidence[1:]
    ]
    return ". ".join(text[0].upper() + text[1:] for text in texts) + "."


def _elsewhere(first: Evidence, other: Evidence) -> str:
    """The card of some more evidence, and its engine where that is another one."""
    product = load_gpu(other.gpu).product
    return product if first.versions == other.versions else f"{product}, {other.versions}"


def _on(gpu: str, pieces: Sequence[Evidence]) -> str:
    """A kind of GPU and how many shared a model, the engines, and what was left out."""
    compared = [each for evidence in pieces for each in evidence.compared]
    numbers = sorted({way.gpus for each in compared for way in (each.way, each.over)})
    *most, last = map(str, numbers or [1])
    many = f"{', '.join(most)} and {last} " if most else ""
    left_out: dict[str, list[int]] = {}
    for evidence in pieces:
        left_out.setdefault(evidence.versions, []).append(evidence.invalid_runs)
    engines = (versions + _left_out(counts) for versions, counts in left_out.items())
    return f"{many}{load_gpu(gpu).product}, {'; '.join(engines)}"


def _left_out(counts: Sequence[int]) -> str:
    """How many invalid runs were left out, at fewest and at most; nothing if none."""
    text = " to ".join(str(count) for count in sorted({min(counts), max(counts)}))
    return "" if text == "0" else f", {text} invalid {'run' if text == '1' else 'runs'} left out"


def _cards_view(cards: Sequence[CardForecast]) -> RenderableType:
    """Data sheets and forecasts of the paper's cards."""
    view = grid_table(
        f"data sheets, and the forecast energy of a request of {LENGTHS} tokens of Llama-3.1-8B "
        "under vLLM, by batch [J]"
    )
    view.add_column("card")
    for heading in ("rated\nW", "memory\nGB", "bandwidth\nGB/s", "dense\nTFLOP/s"):
        view.add_column(heading, justify="right")
    for size in cards[0].request_j if cards else ():
        view.add_column(f"batch\n{size}", justify="right")
    for card in cards:
        gpu = card.gpu
        forecasts = [
            f"{forecast:.1f} ({low:.1f} to {high:.1f})"
            for forecast, low, high in card.request_j.values()
        ]
        add_row(
            view,
            gpu.product,
            f"{gpu.tdp_w:.0f}",
            f"{gpu.memory_bytes / 1e9:.0f}",
            f"{gpu.memory_bytes_per_s / 1e9:,.0f}",
            f"{card.dense_flops_per_s / 1e12:.1f}",
            *forecasts,
        )
    return view


_NO_MEASUREMENT = dict.fromkeys(
    [
        "gpu",
        "engines",
        "at",
        "low",
        "high",
        "error",
        "runs",
        "high_error",
        "batches",
        "invalid_runs",
        "verdict",
    ]
)


def _csv_row(finding: Finding) -> dict[str, Any]:
    """A row with the same columns whether or not anything was measured."""
    document = finding.to_dict()
    measured = document.pop("measured")
    return document | {"measured": measured[0] if measured else _NO_MEASUREMENT}
