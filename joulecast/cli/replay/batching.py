"""`--in-flight`, `--static` and `--pad`: how `joulecast replay` hands requests to the engine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import click

from joulecast.cli.options import Option
from joulecast.measurements.batching import Batching, longest
from joulecast.measurements.engines import EngineVariant

LARGEST: Literal["largest"] = "largest"
_OPTIONS = {"in_flight": "--in-flight", "static": "--static", "is_padded": "--pad"}


def _batch_sizes(
    ctx: click.Context, param: click.Parameter, values: Sequence[str]
) -> tuple[int | str, ...]:
    """Numbers of requests, or "largest", as a callback of an option."""
    for value in values:
        is_count = value.isascii() and value.isdigit() and int(value) > 0
        if value != LARGEST and not is_count:
            raise click.BadParameter(
                f'"{value}" is neither a number of requests nor "{LARGEST}"', ctx, param
            )
    return tuple(value if value == LARGEST else int(value) for value in values)


BATCHING_OPTIONS: list[Option] = [
    click.option(
        "--in-flight",
        type=click.IntRange(1),
        multiple=True,
        metavar="N",
        help="Have so many requests run at once at most, a new one entering when one ends (vllm); "
        "each number given makes a replay of the same requests.",
    ),
    click.option(
        "--static",
        multiple=True,
        metavar="N|largest",
        callback=_batch_sizes,
        help="Run them in batches of so many, in order, the next when the last request of the one "
        "before has ended; each size given makes a replay of the same requests.",
    ),
    click.option(
        "--pad",
        "is_padded",
        is_flag=True,
        help="With --static: every request gets the longest input and output of its batch, as in "
        "pytorch it always does.",
    ),
]


@dataclass(frozen=True)
class BatchingWish:
    """A batching as a user names it, of which the largest batch is not known yet.

    Attributes:
        in_flight: As in `Batching`.
        static: Likewise, or "largest".
        is_padded: Likewise.
        name: What its replay is called, beside the trace; "" for the engine's own way.
    """

    in_flight: int | None = None
    static: int | str | None = None
    is_padded: bool = False
    name: str = ""

    def require_enough(self, requests: int) -> None:
        """Refuse more at once than there are requests, before an engine starts.

        Raises:
            UsageError: There are fewer.
        """
        for number, option in ((self.in_flight, "--in-flight"), (self.static, "--static")):
            if isinstance(number, int) and number > requests:
                raise click.UsageError(
                    f"{option} {number:,} is more than the {requests:,} requests; draw more with "
                    "--requests"
                )

    def batching(
        self, lengths: Sequence[tuple[int, int]], capacity: Callable[[int, int], int]
    ) -> Batching:
        """What it comes to for some requests.

        Args:
            lengths: (i, o) per request [tokens].
            capacity: B(I, O) of the engine, asked where the largest batch is wished for.

        Raises:
            EngineError: Not one request fits.
        """
        size = self.static
        if isinstance(size, str):
            size = min(len(lengths), capacity(*longest(lengths)))
        return Batching(self.in_flight, size, self.is_padded)


def wished_batchings(
    engine: str, variant: EngineVariant, is_online: bool, options: Mapping[str, Any]
) -> list[BatchingWish]:
    """The replays of each trace that are asked for; one as the engine does by itself, if none.

    Raises:
        UsageError: The options do not go together, or not with the engine.
    """
    _require_sense(engine, variant, is_online, options)
    is_padded = options["is_padded"] or engine == "pytorch"
    ending = "-padded" if options["is_padded"] and engine != "pytorch" else ""
    flights = [BatchingWish(in_flight=n, name=f"in-flight-{n}") for n in options["in_flight"]]
    batches = [
        BatchingWish(static=size, is_padded=is_padded, name=f"static-{size}{ending}")
        for size in options["static"]
    ]
    return [*flights, *batches] or [BatchingWish()]


def _require_sense(
    engine: str, variant: EngineVariant, is_online: bool, options: Mapping[str, Any]
) -> None:
    for key, option in _OPTIONS.items():
        if options[key] and is_online:
            raise click.UsageError(
                f"{option} is not for --arrivals, which serves requests as they come"
            )
    if options["is_padded"] and not options["static"]:
        raise click.UsageError("--pad is for --static: it pads to the longest of a batch")
    if options["in_flight"] and engine == "pytorch":
        raise click.UsageError(
            "--in-flight is for --engine vllm, which batches continuously; give --static"
        )
    for key in ("in_flight", "static"):
        numbers = options[key]
        if twice := [number for number in numbers if numbers.count(number) > 1]:
            raise click.UsageError(f"{_OPTIONS[key]} {twice[0]} is given twice; give it once")
    most = variant.max_num_seqs
    counts = [*options["in_flight"], *(n for n in options["static"] if n != LARGEST)]
    if most is not None and counts and max(counts) > most:
        raise click.UsageError(
            f"{max(counts):,} requests at once are more than the {most:,} that {engine} is started "
            f"for; give --max-num-seqs {max(counts)}"
        )
