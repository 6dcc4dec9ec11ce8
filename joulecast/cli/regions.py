"""`joulecast regions`: whose carbon intensity is known."""

from typing import Any

import click

from joulecast.cli.options import FORMAT_OPTIONS, command, emit_report, with_options
from joulecast.traces.errors import InputError


@command()
@click.argument("words", nargs=-1)
@with_options(FORMAT_OPTIONS)
def regions(words: tuple[str, ...], **options: Any) -> None:
    """List the regions that --carbon knows, with their intensity.

    WORDS narrow them down.
    """
    from joulecast.estimator.footprint import carbon
    from joulecast.estimator.footprint.cloud_regions import cloud_regions
    from joulecast.views.footprint import region_list_report

    text = " ".join(words).casefold()
    matching = [
        intensity
        for intensity in carbon.regions().values()
        if text in f"{intensity.region} {intensity.name}".casefold()
    ]
    matching += [
        carbon.find_region(name)
        for name, cloud in cloud_regions().items()
        if text in cloud.text.casefold()
    ]
    if not matching:
        raise InputError(f'no region with "{text}" in its code or name')
    emit_report(region_list_report(matching), options)
