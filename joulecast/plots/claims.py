"""The paper's claims as pictures: what was measured here, and the paper's figures beside it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from joulecast.estimator.paper.claims.cards import CardForecast
from joulecast.estimator.paper.claims.claim import Claim, PaperFigure
from joulecast.estimator.paper.claims.compare import PaperComparison
from joulecast.estimator.paper.claims.deployments import Change, Way
from joulecast.estimator.paper.claims.measures import Compared, batches_versions, compare_ways
from joulecast.estimator.paper.claims.replayed import ReplayedComparison, compare_replays
from joulecast.measurements.hardware import load_gpu
from joulecast.plots.figure import HOLLOW, check_plot_path, hollow, panels, save_figure
from joulecast.plots.phases import draw_phases
from joulecast.traces.errors import InputError

COLOURS = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"
_PAPER = "#777777"
_ROOM = 0.6
"""Share of the width of the data that is left free beside them, for texts."""
_LEGEND_INCHES = 0.4
_MOST_TICKS = 5
_FEW_REQUESTS = 32
"""Batches below this stand in the left half, so that a text goes on at their right."""

_PANELS: Mapping[str, Sequence[tuple[str, tuple[str, ...]]]] = {
    "mixtures": (
        ("energy of a batch, OLMoE-1B-7B over OLMo-1B", ("mixture-energy",)),
        ("time of a batch, likewise", ("mixture-slower-1", "mixture-slower-8")),
    ),
    "compilation": (
        ("vLLM: CUDA graphs over eager", ("graphs-a100", "graphs-a6000")),
        ("PyTorch: compiled over eager", ("compile-a100", "compile-6000-ada", "compile-a6000")),
    ),
    "tensor-parallel": (
        ("time of a batch, several GPUs over one", ("two-gpus-time", "four-gpus-time")),
        ("energy of a batch, several GPUs over one", ("two-gpus-energy", "four-gpus-energy")),
    ),
    "tasks": (("energy of a batch, vLLM over PyTorch", ("vllm-saves",)),),
    "online": (
        ("energy of the same requests, by how many at once", ("online-large", "online-small")),
    ),
    "decoding": (
        ("energy of a batch, at a temperature over greedy", ("temperature-small",)),
        ("energy of a batch, top-p over greedy", ("top-p-small",)),
        ("energy of a batch, beam search over greedy", ("beam-small",)),
    ),
    "speculation": (
        ("energy of a batch, with a draft over without", ("speculation-1", "speculation-128")),
    ),
}
"""Figure -> panels: title, and the claims that are drawn in it."""


def plot_paper(
    comparison: PaperComparison, cards: Sequence[CardForecast], path: Path
) -> list[Path]:
    """Draw every figure of which something was measured, a file each.

    Args:
        comparison: What to draw.
        cards: Forecasts for the paper's cards.
        path: Ends in .png, .svg or .pdf. Of several figures, each has its name before the ending.

    Returns:
        The files.

    Raises:
        InputError: The ending is another, a file cannot be written, or nothing was measured of the
            one figure that is asked for.
    """
    check_plot_path(path)
    files = picture_files(comparison.figures, path)
    drawn = [
        file
        for figure, file in zip(comparison.figures, files, strict=True)
        if _plot_figure(figure, comparison, cards, file)
    ]
    if not drawn and len(files) == 1:
        name = comparison.figures[0].name
        raise InputError(f"{name}: nothing was measured here that could be drawn")
    return drawn


def picture_files(figures: Sequence[PaperFigure], path: Path) -> list[Path]:
    """Where each of some figures is drawn: of several, each has its name before the ending."""
    if len(figures) == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{figure.name}{path.suffix}") for figure in figures]


def _plot_figure(
    figure: PaperFigure,
    comparison: PaperComparison,
    cards: Sequence[CardForecast],
    path: Path,
) -> bool:
    """Draw one figure; False if there is nothing to draw."""
    if figure.name == "sweeps":
        return draw_phases(comparison, path)
    if figure.name == "cards":
        return _draw_cards(cards, path)
    findings = {finding.claim.name: finding for finding in comparison.of(figure)}
    drawn = []
    for title, names in _PANELS.get(figure.name, ()):
        claims = [findings[name].claim for name in names]
        if compared := _all_compared(claims, comparison):
            drawn += [(head, claims, of_it) for head, of_it in _apart(title, compared).items()]
    if not drawn:
        return False
    picture, axes = panels(len(drawn))
    for axis, (title, claims, compared) in zip(axes, drawn, strict=True):
        _draw_changes(axis, compared)
        for claim in claims:
            _draw_published(axis, claim)
        _scale(axis, compared, claims)
        axis.set_title(title, fontsize=10)
        axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.13), frameon=False)
    picture.set_figheight(picture.get_figheight() + _LEGEND_INCHES)
    everything = [each for _, _, compared in drawn for each in compared]
    save_figure(picture, _notes(everything, comparison), path)
    return True


def _apart(title: str, compared: Sequence[Compared]) -> Mapping[str, list[Compared]]:
    """Panels by their titles: replays of each two ways have one of their own."""
    by_title: dict[str, list[Compared]] = {}
    for each in compared:
        ways = f"\n{each.ways}" if isinstance(each, ReplayedComparison) else ""
        by_title.setdefault(title + ways, []).append(each)
    return by_title


def _all_compared(claims: Sequence[Claim], comparison: PaperComparison) -> list[Compared]:
    """What several claims are about, each once."""
    together: list[Compared] = []
    for claim in claims:
        together += [each for each in _compared(claim, comparison) if each not in together]
    return together


def _compared(claim: Claim, comparison: PaperComparison) -> list[Compared]:
    """What a claim is about at all batch sizes, and at all lengths where its own are not there."""
    if replayed := _replayed(claim, comparison):
        return replayed
    if claim.measure is None:
        return []
    everywhere = {
        key: value for key, value in claim.measure.items() if key not in {"batches", "up_to_batch"}
    }
    everywhere["of"] = claim.measure.get("drawn", everywhere["of"])
    gpus = list(dict.fromkeys(way.gpu for way in comparison.batches.tables))
    for measure in (everywhere, {**everywhere, "lengths": None}):
        compared = [each for gpu in gpus for each in compare_ways(measure, gpu, comparison.batches)]
        if compared:
            return compared
    return []


def _replayed(claim: Claim, comparison: PaperComparison) -> list[Compared]:
    """The same of the same requests, served otherwise, at all numbers at once."""
    if claim.replays is None:
        return []
    at_all = {key: value for key, value in claim.replays.items() if key != "numbers"}
    gpus = dict.fromkeys(handing.way.gpu for handing in comparison.replays.of)
    return [each for gpu in gpus for each in compare_replays(at_all, gpu, comparison.replays)]


def _draw_changes(axis: Axes, compared: Sequence[Compared]) -> None:
    """Changes by batch size, a line or a cloud for each comparison."""
    for place, each in enumerate(compared):
        colour = COLOURS[place % len(COLOURS)]
        if _is_line(each):
            changes = sorted(each.changes, key=lambda change: change.batch_size)
            axis.errorbar(
                [change.batch_size for change in changes],
                [change.percent for change in changes],
                yerr=[change.error for change in changes],
                fmt="o-",
                color=colour,
                markersize=4,
                capsize=2,
                linewidth=1.2,
                label=_label(each, compared),
            )
            new = [change for change in changes if change.has_new_shapes]
            sizes, percents = [c.batch_size for c in new], [c.percent for c in new]
            hollow(axis, sizes, percents, colour)
        else:
            _draw_cloud(axis, each.changes, colour, _label(each, compared))
    axis.axhline(0, color="black", linewidth=0.6)
    is_replayed = any(isinstance(each, ReplayedComparison) for each in compared)
    axis.set_xlabel("requests at once" if is_replayed else "requests in a batch")
    axis.set_ylabel("change [%]")


def _scale(axis: Axes, compared: Sequence[Compared], claims: Sequence[Claim]) -> None:
    """Powers of four, and room at the right for what stands on the paper's lines."""
    sizes = sorted({change.batch_size for each in compared for change in each.changes})
    least, most = sizes[0], sizes[-1]
    axis.set_xscale("log", base=2)
    fours = [4**k for k in range(6) if least <= 4**k <= most]
    ticks = sizes if len(sizes) <= _MOST_TICKS else fours
    axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    has_lines = any(
        claim.published.relation == "equals" and "batches" not in (claim.measure or {})
        for claim in claims
    )
    room = (most / least) ** (_ROOM if has_lines else 0)
    axis.set_xlim(least / 1.4, 1.4 * most * room)


_MARKS: Sequence[tuple[int, str, str]] = (
    (16, "o", "of 8 or 16 tokens"),
    (64, "s", "of 32 or 64 tokens"),
    (10**9, "^", "of 128 tokens and more"),
)


def _draw_cloud(axis: Axes, changes: Sequence[Change], colour: str, label: str) -> None:
    """Batches of several lengths, marked by their outputs."""
    least = 0
    for most, mark, text in _MARKS:
        chosen = [change for change in changes if least < change.batch[1] <= most]
        if chosen:
            axis.errorbar(
                [change.batch_size for change in chosen],
                [change.percent for change in chosen],
                yerr=[change.error for change in chosen],
                fmt=mark,
                color=colour,
                markersize=4.5,
                alpha=0.75,
                elinewidth=0.7,
                label=f"{label}, outputs {text}",
            )
        least = most


def _label(each: Compared, others: Sequence[Compared]) -> str:
    """What tells a comparison from the others: card, model, engine, GPUs, how tokens are chosen."""
    gpu = load_gpu(each.way.gpu).product.removeprefix("NVIDIA ")
    if isinstance(each, ReplayedComparison):
        return f"{each.trace}, {gpu}"
    texts = [gpu]
    parts: Sequence[Callable[[Way], str]] = (
        lambda way: way.model,
        lambda way: way.engine,
        lambda way: f"{way.gpus} GPUs",
        lambda way: way.decoding,
        _draft,
    )
    texts += [part(each.way) for part in parts if len({part(of.way) for of in others}) > 1]
    return ", ".join(texts)


def _draft(way: Way) -> str:
    """Draft, look-ahead and acceptance in words."""
    if way.draft is None:
        return "no draft"
    name, acceptance = way.draft
    return f"{name}, {100 * acceptance:g} % accepted"


def _draw_published(axis: Axes, claim: Claim) -> None:
    """The paper's number: a star at its batch, or a line where it is of none."""
    published = claim.published
    if published.value is None or published.relation != "equals":
        return
    text = f"paper: {published.text}" + (f", {published.gpu}" if published.gpu else "")
    sizes = (claim.measure or {}).get("batches")
    if sizes:
        axis.plot(sizes[0], published.value, "*", color="black", markersize=10)
    else:
        axis.axhline(published.value, color=_PAPER, linestyle="--", linewidth=1.2)
    place = (sizes[0], published.value) if sizes else (0.99, published.value)
    is_at_left = sizes is not None and sizes[0] < _FEW_REQUESTS
    axis.annotate(
        text, place, xycoords="data" if sizes else ("axes fraction", "data"),
        xytext=(9 if is_at_left else -9, 0) if sizes else (0, 2), textcoords="offset points",
        fontsize=8, color="black" if sizes else _PAPER, ha="left" if is_at_left else "right",
        va="center" if sizes else "bottom",
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.5},
    )  # fmt: skip


def _notes(compared: Sequence[Compared], comparison: PaperComparison) -> str:
    replayed = [each for each in compared if isinstance(each, ReplayedComparison)]
    if replayed:
        versions = comparison.replays.versions(each for of in replayed for each in of.handings)
        return f"{versions}; bfloat16, random weights. Whiskers are 95 % intervals."
    ways = dict.fromkeys(way for each in compared for way in (each.way, each.over))
    lengths = {change.batch[:2] for each in compared if _is_line(each) for change in each.changes}
    notes = f"{batches_versions(comparison.batches, list(ways))}; bfloat16, random weights. "
    for input_tokens, output_tokens in sorted(lengths):
        notes += f"Lines: requests of {input_tokens:,} and {output_tokens:,} tokens. "
    if not all(map(_is_line, compared)):
        notes += "Dots: requests of other lengths. " if lengths else ""
    if any(change.has_new_shapes for each in compared if _is_line(each) for change in each.changes):
        notes += HOLLOW
    return notes + "Whiskers are 95 % intervals."


def _is_line(each: Compared) -> bool:
    """Whether a line joins its batches: they are of equal lengths, or of one trace."""
    return (
        isinstance(each, ReplayedComparison)
        or len({change.batch[:2] for change in each.changes}) == 1
    )


def _draw_cards(cards: Sequence[CardForecast], path: Path) -> bool:
    """Forecast energy of a request on each card, with its interval."""
    if not cards:
        return False
    sizes = list(cards[0].request_j)
    picture, axes = panels(len(sizes))
    picture.set_size_inches(picture.get_figwidth(), 2.6)
    places = range(len(cards) - 1, -1, -1)
    for axis, size in zip(axes, sizes, strict=True):
        for place, card in zip(places, cards, strict=True):
            forecast_j, low_j, high_j = card.request_j[size]
            axis.barh(place, forecast_j, 0.6, color=COLOURS[0], alpha=0.8)
            axis.plot([low_j, high_j], [place, place], color="black", linewidth=1.2)
            axis.text(high_j, place, f" {forecast_j:,.1f}", va="center", fontsize=8)
        names = [card.gpu.product.removeprefix("NVIDIA ") for card in cards]
        axis.set_yticks(places, names if axis is axes[0] else [""] * len(names), fontsize=8)
        axis.set_xlabel("energy of a request [J]")
        axis.set_title(f"batch of {size}", fontsize=10)
        axis.margins(x=0.15)
    notes = "Forecast from prices carried over by data sheets, not measured: Llama-3.1-8B, vLLM, "
    save_figure(picture, notes + "512 and 64 tokens. Lines are 95 % intervals.", path)
    return True
