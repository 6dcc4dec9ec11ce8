"""Options that say what serves, measured or not, and how."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import click

from joulecast.cli.completion import complete_gpus, complete_models
from joulecast.cli.options import FiniteRange, Option
from joulecast.estimator.method import MODES, ROUTERS, ServingKeywords
from joulecast.measurements.engines import ENGINES

if TYPE_CHECKING:
    from joulecast.traces.binning.cluster import Cluster

DTYPE = click.Choice(["bfloat16", "float16", "fp8", "int4"])

DEPLOYMENT_OPTIONS: list[Option] = [
    click.option(
        "--model",
        metavar="MODEL",
        shell_complete=complete_models,
        help="A shipped model, or a Hugging Face config.json; by default llama-3.1-8b.",
    ),
    click.option(
        "--gpu",
        metavar="GPU",
        shell_complete=complete_gpus,
        help="A GPU (see: joulecast prices), or a data sheet as a JSON file; by default h100-sxm.",
    ),
    click.option(
        "--engine", type=click.Choice(sorted(ENGINES)), help="Serving engine; by default vllm."
    ),
    click.option(
        "--gpus",
        type=click.IntRange(1, 1024),
        metavar="N",
        help="GPUs that share the model; by default 1, or with --group-by model the fewest of 1, "
        "2, 4, 8 that hold each.",
    ),
    click.option(
        "--dtype",
        type=DTYPE,
        help="Number format; fp8 and int4 are of the weights. By default that of the published "
        "weights.",
    ),
    click.option(
        "--idle-watts",
        type=FiniteRange(0, min_open=True),
        metavar="WATTS",
        help="What one of your cards draws with the model loaded and nothing to do.",
    ),
    click.option(
        "--decode-watts",
        type=FiniteRange(0, min_open=True),
        metavar="WATTS",
        help="What one of your cards draws while a single request decodes.",
    ),
]

CARD_OPTION = click.option(
    "--card",
    "cards",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="REPLAY",
    help="A replay (see: joulecast replay) that was metered on the very card that will serve: what "
    "that takes more or less than others of its kind is told by it; give it again for another.",
)


VARIANT_OPTIONS: list[Option] = [
    click.option("--eager", is_flag=True, help="Nothing is compiled, no graph recorded (vllm)."),
    click.option(
        "--decoding",
        metavar="STRATEGY",
        help="How tokens are chosen: greedy (default), sampling, temperature:T or top-p:P (vllm).",
    ),
    click.option(
        "--speculate",
        metavar="DRAFT,K,ACCEPTANCE",
        help="A draft model proposes K tokens a step, each accepted with this probability, such as "
        "llama-3.2-1b,4,0.7 (vllm, --serving offline).",
    ),
]


class _Replicas(click.IntRange):
    """A number of servers, or "auto"."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert and check."""
        return value if value == "auto" else super().convert(value, param, ctx)


class Rate(FiniteRange):
    """Requests a second, or with the time behind a stroke: 2/s, 120/min, 7200/h."""

    name = "R[/s|/min|/h]"
    _SECONDS: ClassVar[Mapping[str, float]] = {"s": 1.0, "min": 60.0, "h": 3600.0}

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Convert to requests a second and check."""
        number, stroke, unit = str(value).partition("/")
        if stroke and unit.strip() not in self._SECONDS:
            self.fail(f"{value} is no rate, such as 2, 2/s, 120/min or 7200/h", param, ctx)
        return super().convert(number, param, ctx) / self._SECONDS.get(unit.strip(), 1.0)


RATE = Rate(0, min_open=True)


class Share(FiniteRange):
    """A part of all, as a number or in percent: 0.5, 50%."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Convert to a number and check; what is too large, `ServingWish` refuses."""
        number, sign, rest = str(value).strip().partition("%")
        try:
            share = float(number.replace(",", ".")) / (100 if sign else 1)
        except ValueError:
            share = math.nan
        if rest.strip() or not share > 0:
            self.fail(f"{value} is no share; give 1 or less, such as 0.5 or 50%", param, ctx)
        return share


ARRIVAL_OPTIONS: list[Option] = [
    click.option(
        "--serving",
        type=click.Choice(MODES),
        help="Requests as they came (online), or all at once (offline); by default estimate takes "
        "the first where the trace has times, and compare the second.",
    ),
    click.option(
        "--rate",
        type=RATE,
        metavar="R",
        help="R requests a second at random (Poisson), in place of the trace's own times; or "
        "120/min, 7200/h.",
    ),
    click.option(
        "--speed",
        type=FiniteRange(0, min_open=True),
        default=1.0,
        metavar="X",
        help="X times as fast as they came.",
    ),
    click.option(
        "--share",
        type=Share(),
        default=1.0,
        show_default=False,
        metavar="SHARE",
        help="Keep each request with this probability, such as 0.5 or 50%, at its own time: what "
        "if there were half the traffic.",
    ),
]
"""When requests come."""

FLEET_OPTIONS: list[Option] = [
    click.option(
        "--router",
        type=click.Choice(ROUTERS),
        default=ROUTERS[0],
        help="How requests are shared out among replicas.",
    ),
    click.option(
        "--scale-to-zero",
        "scale_to_zero_s",
        type=FiniteRange(0),
        metavar="SECONDS",
        help="A replica draws nothing once it had nothing to do for so long.",
    ),
]
"""How replicas serve."""

LIMIT_OPTIONS: list[Option] = [
    click.option(
        "--max-num-seqs",
        type=click.IntRange(1),
        metavar="N",
        help="What if N requests ran at once at most.",
    ),
    click.option(
        "--max-num-batched-tokens",
        type=click.IntRange(1),
        metavar="N",
        help="What if a step fed N tokens at most.",
    ),
]
"""What-ifs of the engine."""

SERVING_OPTIONS: list[Option] = [
    *ARRIVAL_OPTIONS,
    click.option(
        "--replicas",
        type=_Replicas(1, 100_000),
        default=1,
        help="Servers that share the requests; auto for the fewest that meet --slo.",
    ),
    click.option(
        "--slo",
        metavar="LIST",
        help="What --replicas auto has to meet: ttft_p99=2s,tpot_p99=50ms (ttft, tpot or e2e; p50, "
        "p90, p99 or mean).",
    ),
    *FLEET_OPTIONS,
    *LIMIT_OPTIONS,
]
"""What `ServingWish` takes."""

SPARK_OPTION = click.option(
    "--spark",
    metavar="MASTER",
    help="Read TRACE on Spark at this master (yarn, spark://host:7077, local[4]), and simulate "
    "each replica in a task there.",
)


def serving_keywords(options: Mapping[str, Any]) -> ServingKeywords:
    """How requests are to be served, as the values of `SERVING_OPTIONS` say."""
    names = ServingKeywords.__annotations__.keys() & options.keys()
    return cast("ServingKeywords", {name: options[name] for name in names})


def cluster_of(options: Mapping[str, Any]) -> "AbstractContextManager[Cluster | None]":
    """The Spark that the value of `SPARK_OPTION` names, while the context is open."""
    from joulecast.traces.binning.cluster import cluster_at

    return cluster_at(options["spark"])
