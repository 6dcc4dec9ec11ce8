"""`joulecast flops`: FLOPs of requests."""

from typing import Any

import click

from joulecast.cli.completion import complete_models
from joulecast.cli.options import (
    FORMAT_OPTIONS,
    command,
    emit_report,
    output_option,
    taken_model,
    with_options,
)

LENGTH = click.IntRange(1, 2**31)


@command()
@click.argument("model", callback=taken_model, shell_complete=complete_models)
@click.option("--input", "input_tokens", type=LENGTH, help="Input length [tokens].")
@click.option("--output", "output_tokens", type=LENGTH, help="Output length [tokens].")
@click.option("--recompute", is_flag=True, help="Count with the DeepSpeed profiler again.")
@with_options(FORMAT_OPTIONS[:1])
@output_option("--output-file")
def flops(
    model: str,
    input_tokens: int | None,
    output_tokens: int | None,
    recompute: bool,
    **options: Any,
) -> None:
    """Count the FLOPs of a request of MODEL.

    MODEL is a shipped name, or your own Hugging Face config.json.
    """
    from joulecast.estimator.flops import CONVENTION, how_counted, load_flops, profile
    from joulecast.traces.grid import POWER_OF_TWO_GRID
    from joulecast.views.flops import flops_report

    if (input_tokens is None) != (output_tokens is None):
        raise click.UsageError("give both --input and --output, or neither for the whole grid")
    lengths = None
    if input_tokens is not None and output_tokens is not None:
        lengths = input_tokens, output_tokens
    law = profile(model) if recompute else load_flops(model)
    counted = (CONVENTION, "counted now") if recompute else how_counted(model)
    emit_report(flops_report(law, lengths, POWER_OF_TWO_GRID, counted), options)
