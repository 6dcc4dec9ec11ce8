"""`joulecast tables`: the paper's Tables 1 to 3 beside the published ones."""

from pathlib import Path
from typing import Any

import click

from joulecast.cli.options import (
    FORMAT_OPTIONS,
    command,
    emit_report,
    split_named_traces,
    with_options,
)


@command()
@click.option(
    "--task",
    "tasks",
    multiple=True,
    callback=split_named_traces,
    metavar="NAME=FILE",
    help="A task's workload, as joulecast trace task makes it.",
)
@with_options(FORMAT_OPTIONS)
def tables(tasks: tuple[tuple[str, str], ...], **options: Any) -> None:
    """Regenerate the paper's Tables 1 to 3 beside the published ones.

    They are of the input lengths of traces, of their output lengths, and of the lengths of tasks.
    """
    from joulecast.traces.errors import unknown_name
    from joulecast.traces.public.tasks import task_names
    from joulecast.traces.workload import Workload
    from joulecast.views.paper.length_tables import tables_report

    for name, _ in tasks:
        if name not in task_names():
            raise unknown_name("task", name, task_names())
    loaded = {name: Workload.load(Path(source)) for name, source in tasks}
    emit_report(tables_report(loaded), options)
