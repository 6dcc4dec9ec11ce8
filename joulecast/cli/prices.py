"""`joulecast prices`: what a unit of each kind of work costs, and what a model's tokens do."""

from typing import Any

import click

from joulecast.cli.completion import complete_gpus, complete_models
from joulecast.cli.deployment import DTYPE, RATE
from joulecast.cli.options import (
    COST_OPTIONS,
    check_results,
    command,
    emit_report,
    taken_model,
    with_options,
)
from joulecast.cli.requests.equal import EqualRequests, take_equal, with_equal
from joulecast.cli.trace_options import TRACE_OPTIONS, reading, require_unread
from joulecast.measurements.engines import ENGINES
from joulecast.traces.inputs.inputs import TraceInput
from joulecast.views.progress import SimulationBar

_OF_A_CARD = "--engine", "--rate", "--input", "--pue", "--carbon", "--price", "--server-overhead"


@command()
@click.argument(
    "words", nargs=-1, metavar="[GPU [ENGINE]] | [TRACE]...", shell_complete=complete_gpus
)
@click.option(
    "--model",
    metavar="MODEL",
    callback=taken_model,
    shell_complete=complete_models,
    help="Whose tokens to price, by load; with a GPU as an argument, by batch below its prices.",
)
@click.option(
    "--gpu",
    metavar="GPU",
    shell_complete=complete_gpus,
    help="Show the rate card of this GPU; by default, of h100-sxm.",
)
@click.option(
    "--engine", type=click.Choice(sorted(ENGINES)), help="Of a rate card; by default vllm."
)
@click.option("--gpus", type=click.IntRange(1, 1024), default=1, help="GPUs that share the model.")
@click.option(
    "--dtype",
    type=DTYPE,
    help="Number format of the model.",
)
@click.option(
    "--rate",
    "rates",
    type=RATE,
    multiple=True,
    metavar="R",
    help="A load of the rate card: R requests a second come to a replica; give it again for more. "
    "By default 2, 25 and 80 % of what it can serve, and all at once.",
)
@with_options(COST_OPTIONS)
@with_options(TRACE_OPTIONS)
@with_equal
def prices(
    words: tuple[str, ...],
    model: str | None,
    gpu: str | None,
    gpus: int,
    dtype: str | None,
    **options: Any,
) -> None:
    """Show what a unit of each kind of work costs on GPU under ENGINE, or a model's rate card.

    Prices are fitted to all tables and replays of the GPU, whatever their model; those of a GPU
    that was not measured are carried over by its data sheet. Without GPU, the GPUs are listed.

    With --model or --gpu, and no GPU as an argument: what 1,000 input, cached and output tokens
    take at some loads, and a replica that waits. Requests are those of TRACE, or equal ones of
    --input and --output tokens. A saved workload (.json) as TRACE needs --gpu.
    """
    equal = take_equal(options, needs_count=False)
    if gpu is not None and _is_gpu(words):
        raise click.UsageError(f"{words[0]} and --gpu {gpu} are two GPUs; give one of them")
    if gpu is not None or (model is not None and not _is_gpu(words)):
        deployment = {"model": model, "gpu": gpu, "gpus": gpus, "dtype": dtype}
        _emit_card(words, equal, deployment, options)
        return
    require_unread("name one with --gpu G, for a rate card of its requests")
    keys = {name: name[2:].replace("-", "_") for name in _OF_A_CARD}
    given = [name for name, key in keys.items() if options.get(f"{key}s", options.get(key))]
    given += [] if equal is None else ["--input"]
    if given:
        raise click.UsageError(
            f"{given[0]} is for a rate card, of --model M or --gpu G; name the GPU so"
        )
    _emit_prices(words, model, gpus, dtype, options)


def _is_gpu(words: tuple[str, ...]) -> bool:
    """Whether arguments begin with a GPU, by its name or as a data sheet, and not with a TRACE."""
    from joulecast.measurements.hardware import gpu_names

    return bool(words) and (words[0] in gpu_names() or words[0].endswith(".json"))


def _emit_card(
    words: tuple[str, ...],
    equal: EqualRequests | None,
    deployment: dict[str, Any],
    options: dict[str, Any],
) -> None:
    """Show a rate card.

    Raises:
        UsageError: Both a trace and equal requests are given.
    """
    from joulecast.estimator.rates.card import REQUESTS, rate_card
    from joulecast.views.rates.card import rate_card_report

    if equal is not None and words:
        raise click.UsageError(
            f"TRACE ({words[0]}) and --input are two workloads; give one of them"
        )
    if equal is None and not words:
        require_unread("give one, or leave the option out")
    trace: TraceInput | None = words or None
    if equal is not None:
        trace = equal.workload(REQUESTS)
    names = "engine", "pue", "carbon", "price", "server_overhead"
    costs = {name: options[name] for name in names}
    check_results({"--output": options["output"]}, traces=words)
    with reading(options, *words) as keywords, SimulationBar() as bar:
        card = rate_card(
            trace, options["rates"], **deployment, **costs, progress=bar.watch, **keywords
        )
    emit_report(rate_card_report(card), options)


def _emit_prices(
    words: tuple[str, ...],
    model: str | None,
    gpus: int,
    dtype: str | None,
    options: dict[str, Any],
) -> None:
    """Show the prices of a GPU under an engine, or list the GPUs.

    Raises:
        UsageError: There are too many words, or options of something that is not there.
    """
    from joulecast.estimator.unit_prices.model import priced_gpus, scaling_on
    from joulecast.views.prices import gpu_list_report, prices_report

    if len(words) > 2:
        raise click.UsageError(
            f"{words[2]}: one GPU and one ENGINE are taken; with --gpu G, the arguments are TRACE"
        )
    if not words:
        if dtype is not None or gpus != 1:
            raise click.UsageError("name a GPU first; without one, the GPUs are listed")
        emit_report(gpu_list_report(priced_gpus()), options)
        return
    if model is None and (dtype is not None or gpus != 1):
        raise click.UsageError("--gpus and --dtype are for a --model")
    engine = words[1] if len(words) == 2 else "vllm"
    emit_report(prices_report(scaling_on(words[0], engine, model, gpus, dtype), model), options)
