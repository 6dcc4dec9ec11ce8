"""Options that say what serves, measured or not."""

import click

from joulecast.cli.completion import complete_gpus, complete_models
from joulecast.cli.options import FiniteRange, Option
from joulecast.measurements.engines import ENGINES

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
        help="GPUs that share the model; by default 1.",
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
