"""`joulecast prices`: what a unit of each kind of work costs, and what a model's tokens do."""

from typing import Any

import click

from joulecast.cli.completion import complete_gpus, complete_models
from joulecast.cli.deployment import DTYPE
from joulecast.cli.options import FORMAT_OPTIONS, command, emit_report, with_options


@command()
@click.argument("gpu", required=False, shell_complete=complete_gpus)
@click.argument("engine", required=False, default="vllm")
@click.option(
    "--model",
    metavar="MODEL",
    shell_complete=complete_models,
    help="Also what 1,000 input and 1,000 output tokens of this model cost, by batch.",
)
@click.option("--gpus", type=click.IntRange(1, 1024), default=1, help="GPUs that share the model.")
@click.option(
    "--dtype",
    type=DTYPE,
    help="Number format of the model.",
)
@with_options(FORMAT_OPTIONS)
def prices(
    gpu: str | None, engine: str, model: str | None, gpus: int, dtype: str | None, **options: Any
) -> None:
    """Show what a unit of each kind of work costs on GPU under ENGINE.

    Prices are fitted to all tables and replays of the GPU, whatever their model; those of a GPU
    that was not measured are carried over by its data sheet. Without GPU, the GPUs are listed.
    """
    from joulecast.estimator.unit_prices.model import priced_gpus, scaling_on
    from joulecast.views.prices import gpu_list_report, prices_report

    if gpu is None:
        if model is not None or dtype is not None or gpus != 1:
            raise click.UsageError("name a GPU first; without one, the GPUs are listed")
        emit_report(gpu_list_report(priced_gpus()), options)
        return
    if model is None and (dtype is not None or gpus != 1):
        raise click.UsageError("--gpus and --dtype are for a --model")
    emit_report(prices_report(scaling_on(gpu, engine, model, gpus, dtype), model), options)
