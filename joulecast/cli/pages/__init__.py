"""Options of pages: where to write one, and what it is called."""

from pathlib import Path

import click

from joulecast.cli.options import Option


def _page(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001 - click passes all three
    value: Path | None,
) -> Path | None:
    """Refuse to write a page where no file of its own can be meant."""
    folders = {Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd")}
    if value is not None and (str(value) == "-" or value.parent in folders):
        raise click.UsageError(f"--html {value}: a page is a file of its own; name one", ctx)
    return value


def _title(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001
    value: str | None,
) -> str | None:
    """Refuse a title that nobody could read."""
    if value is not None and not value.strip():
        raise click.UsageError("--title: is empty; leave it out, or say what the page is", ctx)
    return value


PAGE_OPTIONS: list[Option] = [
    click.option(
        "--html",
        type=click.Path(dir_okay=False, path_type=Path),
        callback=_page,
        help="Also write the result as a page, one file to look at or to send on.",
    ),
    click.option(
        "--title", callback=_title, metavar="TEXT", help="What stands above the page of --html."
    ),
]


def page_title(title: str | None, html: Path | None) -> str:
    """What stands above a page; nothing where none was given.

    Raises:
        UsageError: There is no page that it could stand above.
    """
    if title is not None and html is None:
        raise click.UsageError("--title is of the page; give --html FILE, too")
    return (title or "").strip()
