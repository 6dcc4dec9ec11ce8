"""`joulecast paper`: the paper's other claims beside what was measured here."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from joulecast.cli.completion import complete_paper_figures, complete_tables
from joulecast.cli.options import (
    FORMAT_OPTIONS,
    check_results,
    command,
    emit_report,
    plot_option,
    with_options,
)

if TYPE_CHECKING:
    from joulecast.estimator.paper.claims.claim import PaperFigure


@command()
@click.argument("figures", nargs=-1, metavar="[FIGURE]...", shell_complete=complete_paper_figures)
@click.option(
    "--table",
    "table_names",
    multiple=True,
    metavar="TABLE",
    shell_complete=complete_tables,
    help="A table of your own that counts beside the shipped ones.",
)
@click.option(
    "--replays",
    "replay_places",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="A replay, or a folder of such, with --in-flight or --static, that counts beside the "
    "shipped ones.",
)
@plot_option("Also draw the figure, or of several a picture each (NAME-FIGURE),")
@with_options(FORMAT_OPTIONS)
def paper(
    figures: tuple[str, ...],
    table_names: tuple[str, ...],
    replay_places: tuple[Path, ...],
    plot: Path | None,
    **options: Any,
) -> None:
    """Hold the paper's other claims against what was measured here.

    FIGURE is sweeps, mixtures, compilation, tensor-parallel, tasks, online, decoding, speculation
    or cards; all of them if not given. Each claim agrees, differs or cannot be told here.
    """
    from joulecast.estimator.paper.claims.cards import forecast_cards
    from joulecast.estimator.paper.claims.claim import figures_named
    from joulecast.estimator.paper.claims.compare import compare_paper, shipped_tables
    from joulecast.estimator.validate import find_replays
    from joulecast.measurements.replay import Replay
    from joulecast.measurements.table.studies import study_replays
    from joulecast.measurements.table.table import load_table
    from joulecast.views.paper.claims import paper_report

    chosen = figures_named(figures)
    paths = [path for place in replay_places for path in find_replays(place)]
    for picture in [None] if plot is None else _pictures(chosen, plot):
        results = {"--output": options["output"], "--plot": picture}
        check_results(results, tables=table_names, replays=map(str, paths))
    tables = [*shipped_tables(), *map(load_table, table_names)]
    comparison = compare_paper(chosen, tables, [*study_replays(), *map(Replay.load, paths)])
    cards = forecast_cards() if any(figure.name == "cards" for figure in chosen) else []
    if plot is not None:
        from joulecast.plots.claims import plot_paper

        plot_paper(comparison, cards, plot)
    emit_report(paper_report(comparison, cards), options)


def _pictures(figures: "Sequence[PaperFigure]", plot: Path) -> list[Path]:
    from joulecast.plots.claims import picture_files

    return picture_files(figures, plot)
