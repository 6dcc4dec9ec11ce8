"""How TRACE is read: options that all commands share which read one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import click
from click.core import ParameterSource

from joulecast.cli.options import Option
from joulecast.traces.reading.arrivals import ARRIVAL_UNITS
from joulecast.traces.reading.options import ReadingKeywords
from joulecast.views.progress import ReadingBar

TRACE_OPTIONS: list[Option] = [
    click.option(
        "--input-column", help="Column of the input length [tokens]; dots lead into JSON objects."
    ),
    click.option("--output-column", help="Column of the output length [tokens]; likewise."),
    click.option(
        "--arrival-column",
        help="Column of the arrival time, likewise: numbers, or dates and times (ISO 8601); none "
        "to leave them unread.",
    ),
    click.option(
        "--arrival-unit",
        type=click.Choice(ARRIVAL_UNITS),
        help="Unit of its numbers, where it is not what they look like.",
    ),
    click.option(
        "--cached-column",
        help="Column of the input tokens that came from a prefix cache, where it is not called so; "
        "none to take all as computed.",
    ),
    click.option(
        "--prefix-cache",
        type=click.IntRange(min=1),
        metavar="TOKENS",
        help="Size of a prefix cache that prompts are held against, where the trace names their "
        "blocks (Mooncake, Qwen-Bailian).",
    ),
    click.option(
        "--count-column",
        help="Column of how many requests a row sums, likewise; none to take each row for one.",
    ),
    click.option(
        "--id-column",
        help="Column of a name that rows of one request share, likewise; none to count each row.",
    ),
    click.option(
        "--where",
        metavar="CONDITION",
        help="Read only these rows, such as 'model = \"llama-3.1-8b\" and status != failure'.",
    ),
    click.option(
        "--on-invalid",
        type=click.Choice(["error", "skip"]),
        default="error",
        help="End at the first invalid row, or leave such rows out and count them.",
    ),
    click.option(
        "--memory-limit",
        metavar="SIZE",
        help="Most memory that reading may take, such as 500MB; by default 100 MB a core.",
    ),
]


GROUP_OPTION = click.option(
    "--group-by",
    metavar="model|user|month|week|day|hour|COLUMN",
    help="Also tell the parts of each model, user, month, week, day, hour (UTC) or value of a "
    "column.",
)


def require_unread(remedy: str) -> None:
    """Refuse what the user says of how to read TRACE, where none is read.

    Args:
        remedy: What to do, behind the name of the option.

    Raises:
        UsageError: Something is said; the first option is named.
    """
    context = click.get_current_context()
    for param in context.command.params:
        is_given = context.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        if param.name in ReadingKeywords.__annotations__ and is_given:
            raise click.UsageError(f"{max(param.opts, key=len)} is of how TRACE is read; {remedy}")


def reading_keywords(options: Mapping[str, Any]) -> ReadingKeywords:
    """How to read a trace, as the values of `TRACE_OPTIONS` say."""
    names = ReadingKeywords.__annotations__.keys() & options.keys()
    return cast("ReadingKeywords", {name: options[name] for name in names})


@contextmanager
def reading(
    options: Mapping[str, Any], *traces: str, is_elsewhere: bool = False
) -> Iterator[ReadingKeywords]:
    """The same, with a bar while TRACE is being read, unless Spark or a database reads it."""
    if is_elsewhere:
        if options["memory_limit"] is not None:
            raise click.UsageError("--memory-limit is for reading with DuckDB")
        yield reading_keywords(options)
        return
    with ReadingBar(*traces) as bar:
        yield {**reading_keywords(options), "watch": bar.watch}
