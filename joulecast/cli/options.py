"""Options that several commands share, and how errors leave the program."""

import glob
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from joulecast.cli.completion import complete_models
from joulecast.measurements.engines import (
    ENGINES,
    QUANTIZATIONS,
    EngineVariant,
    require_shareable,
    resolve_variant,
)
from joulecast.measurements.gpu.devices import require_each_once
from joulecast.measurements.models import load_shape
from joulecast.traces.errors import InputError
from joulecast.traces.files import exists, shown_address
from joulecast.traces.printable import printable
from joulecast.traces.reading.sniff import STANDARD_INPUT
from joulecast.views.report import OutputFormat, Report, emit

if TYPE_CHECKING:
    from joulecast.estimator.footprint.facility import Facility

Lengths = tuple[int, int] | None
Option = Callable[[Any], Any]
Command = TypeVar("Command", bound=Callable[..., Any])


class OncePerOption(click.Command):
    """Refuses an option of one value that is given twice: the last would win, and nobody be told.

    Flags may be repeated.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, unless an option stands there twice."""
        _, _, params = self.make_parser(ctx).parse_args(list(args))
        for param in params:
            if isinstance(param, click.Option) and params.count(param) > 1:
                is_flag = param.is_flag and not param.secondary_opts
                if not (param.multiple or param.count or is_flag or ctx.resilient_parsing):
                    names = "/".join((*param.opts[-1:], *param.secondary_opts[-1:]))
                    raise click.UsageError(f"{names} is given twice; give it once", ctx)
        return super().parse_args(ctx, args)


def command() -> Callable[[Callable[..., Any]], click.Command]:
    """A decorator that makes a command of a function, as all of ours are."""
    return click.command(cls=OncePerOption)


def group() -> Callable[[Callable[..., Any]], click.Group]:
    """A decorator that makes a group of such commands of a function."""

    def decorate(function: Callable[..., Any]) -> click.Group:
        group_command = click.group()(function)
        group_command.command_class = OncePerOption
        return group_command

    return decorate


def _dash_is_none(
    ctx: click.Context,  # noqa: ARG001 - click passes all three
    param: click.Parameter,  # noqa: ARG001
    value: Path | None,
) -> Path | None:
    return None if value == Path("-") else value


def output_option(*names: str) -> Option:
    """Where to write a result; "-" and nothing mean standard output."""
    return click.option(
        *names,
        "output",
        type=click.Path(dir_okay=False, path_type=Path),
        callback=_dash_is_none,
        help="Write to this file instead of standard output.",
    )


def plot_option(drawing: str) -> Option:
    """Which picture to draw beside the result; `drawing` begins its help."""
    return click.option(
        "--plot",
        type=click.Path(dir_okay=False, path_type=Path),
        callback=check_picture,
        help=f"{drawing} into this file (.png, .svg or .pdf).",
    )


def check_picture(
    ctx: click.Context,  # noqa: ARG001
    param: click.Parameter,  # noqa: ARG001
    value: Path | None,
) -> Path | None:
    """Refuse a picture of another format, as a callback of its option."""
    if value is not None:
        from joulecast.plots.figure import check_plot_path

        check_plot_path(value)
    return value


class FiniteRange(click.FloatRange):
    """A float range that takes neither nan nor inf."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Convert and check."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


FORMAT_OPTIONS: list[Option] = [
    click.option(
        "--format",
        "output_format",
        type=click.Choice(["table", "json", "csv", "latex"]),
        default="table",
        help="How to print the result.",
    ),
    output_option("-o", "--output"),
]


def _understood(
    convert: Callable[[str], Any],
) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """A callback of an option whose value a function of ours understands, or says why not."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else convert(value)
        except InputError as error:
            raise click.BadParameter(str(error), ctx, param) from error

    return callback


def _carbon(value: str) -> Any:
    from joulecast.estimator.footprint.carbon import intensity_of

    return intensity_of(value)


def _price(value: str) -> Any:
    from joulecast.estimator.footprint.facility import Price

    return Price.of(value)


def _server_overhead(value: str) -> Any:
    from joulecast.estimator.footprint.server import ServerOverhead

    return ServerOverhead.of(value)


COST_OPTIONS: list[Option] = [
    click.option(
        "--server-overhead",
        callback=_understood(_server_overhead),
        metavar="WATTS|SHARE|NAME",
        help='What servers draw beside their GPUs: "150 W/GPU", "1200 W/server", "30 %" of the GPU '
        "energy, or a published figure: ecologits, google-2025. None by default.",
    ),
    click.option("--pue", type=FiniteRange(1, 100), help="Facility energy over IT energy."),
    click.option(
        "--carbon",
        callback=_understood(_carbon),
        metavar="NUMBER|REGION",
        help="Carbon intensity [gCO2e/kWh], or whose to take: FR, France, US-CA, SE3, us-east-1 "
        "(see: joulecast regions).",
    ),
    click.option(
        "--price",
        callback=_understood(_price),
        metavar="PRICE",
        help='Price of a kilowatt hour, with a currency if you like: "0.18 EUR", "0,18 €".',
    ),
]


def facility_of(options: Mapping[str, Any]) -> "Facility | None":
    """Where the GPUs stand, from the values of `COST_OPTIONS`; None if none was given."""
    from joulecast.estimator.footprint.facility import Facility

    return Facility.of(
        options["pue"], options["carbon"], options["price"], options["server_overhead"]
    )


def taken_model(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001 - click passes all three
    value: str | None,
) -> str | None:
    """The model that a name is taken as, which is said where it is not the shipped one's own.

    Raises:
        InputError: There is no such model.
    """
    from joulecast.measurements.models import model_called

    if value is None or ctx.resilient_parsing:
        return value
    model = model_called(value)
    if model != value:
        say(f'"{value}" is taken as {model}')
    return model


ENGINE_OPTIONS: list[Option] = [
    click.option(
        "--engine", required=True, type=click.Choice(sorted(ENGINES)), help="Serving engine."
    ),
    click.option(
        "--model",
        required=True,
        callback=taken_model,
        shell_complete=complete_models,
        help="A shipped model, or a folder or file with a config.json.",
    ),
    click.option(
        "--weights",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Folder with the model's weights; random ones are drawn if not given.",
    ),
]

VARIANT_OPTIONS: list[Option] = [
    click.option(
        "--gpu",
        "gpu_indices",
        type=click.IntRange(0),
        multiple=True,
        help="Index of the GPU, as nvidia-smi numbers it; several share the model (vllm).",
    ),
    click.option(
        "--compile/--eager",
        "compiled",
        default=None,
        help="Whether to compile; vllm does by default, pytorch does not.",
    ),
    click.option(
        "--quantization",
        type=click.Choice(QUANTIZATIONS),
        help="Have linear layers compute in 8 bits (vllm).",
    ),
    click.option(
        "--max-num-seqs",
        type=click.IntRange(1),
        metavar="N",
        help="Most requests that run at once (vllm); by default 1,024.",
    ),
    click.option(
        "--max-num-batched-tokens",
        type=click.IntRange(1),
        metavar="N",
        help="Most tokens that a step feeds; by default as vllm chooses for the GPU.",
    ),
]
"""What makes a table or a replay one of another kind, or of other conditions."""


def engine_variant(engine: str, model: str, options: Mapping[str, Any]) -> EngineVariant:
    """What the values of `VARIANT_OPTIONS` ask an engine for, and what it then does by itself.

    Raises:
        EngineError: It has no such variant, or so many GPUs cannot share the model.
        MeterError: A GPU is named twice.
    """
    require_each_once(options["gpu_indices"])
    variant = EngineVariant(
        gpus=max(1, len(options["gpu_indices"])),
        compiled=options["compiled"],
        quantization=options["quantization"],
        max_num_seqs=options["max_num_seqs"],
        max_num_batched_tokens=options["max_num_batched_tokens"],
    )
    resolved = resolve_variant(engine, variant)
    require_shareable(load_shape(model), resolved.gpus)
    return resolved


def with_options(options: list[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """A decorator that gives a command several options."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def emit_report(report: Report, options: dict[str, Any]) -> None:
    """Print or write a report as the values of `FORMAT_OPTIONS` say."""
    emit(report, cast("OutputFormat", options["output_format"]), options["output"])


def split_named_traces(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """NAME=FILE arguments, split at the first equals sign."""
    named: list[tuple[str, str]] = []
    for value in values:
        name, _, source = value.partition("=")
        if not (name and source):
            raise click.BadParameter(
                f'"{value}" is not NAME=FILE, such as burstgpt=BurstGPT_1.csv', ctx, param
            )
        if name in dict(named):
            raise click.BadParameter(f'"{name}" is given twice', ctx, param)
        named.append((name, source))
    return tuple(named)


def say(text: str) -> None:
    """Print a line beside the result, on standard error; what a name holds steers no terminal."""
    click.echo(printable(text), err=True)


def check_results(
    results: Mapping[str, Path | None],
    *,
    traces: Iterable[str] = (),
    tables: Iterable[str] = (),
    replays: Iterable[str] = (),
) -> None:
    """Refuse files that cannot be, or would replace one another or what they are made from.

    Args:
        results: Option -> the file that it names, None if it was not given.
        traces: What the results are made from, as the user named it.
        tables: Likewise.
        replays: Likewise.

    Raises:
        InputError: One stands where a source is, or in no folder.
        UsageError: Two are the same file.
    """
    sources = [(name, "trace") for name in traces]
    sources += [(name, "replay") for name in replays]
    for name in tables:
        # Numpy comes with it, which takes longer to import than a trace to bin.
        from joulecast.measurements.table.table import table_folder

        sources.append((f"{glob.escape(str(table_folder(name)))}/*", "file of a table"))
    options: dict[str, str] = {}
    for option, path in results.items():
        if path is None:
            continue
        for source, kind in sources:
            _check_apart(path, source, kind)
        folder = path.absolute().parent
        if not folder.is_dir():
            shown = shown_address(str(path))
            raise InputError(f"{shown}: cannot be written, since its folder does not exist")
        place = os.path.realpath(path)
        if place in options:
            raise click.UsageError(f"{options[place]} and {option} are the same file")
        options[place] = option


def _check_apart(result: Path, source: str, kind: str) -> None:
    """Refuse to write a result over what it is made from."""
    if not exists(result):
        return
    source = source.removeprefix("file://")
    if source == STANDARD_INPUT and _is_standard_input(result):
        raise InputError(f"{result}: is what standard input is; write to another file")
    names = [source] if exists(source) else glob.glob(source, recursive=True)
    if any(exists(name) and result.samefile(name) for name in names):
        raise InputError(f"{result}: is a {kind} that was given; write to another file")


def _is_standard_input(path: Path) -> bool:
    """Whether standard input was redirected from that file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdin.fileno()))
    except (AttributeError, OSError, ValueError):
        return False  # closed, or no file at all
