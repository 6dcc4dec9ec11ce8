"""Options of the commands that run a serving engine on the GPU at hand."""

from pathlib import Path

import click

from joulecast.cli.options import Option
from joulecast.measurements.engines import ENGINES

ENGINE_OPTIONS: list[Option] = [
    click.option(
        "--engine", required=True, type=click.Choice(sorted(ENGINES)), help="Serving engine."
    ),
    click.option(
        "--model", required=True, help="A shipped model, or a folder or file with a config.json."
    ),
    click.option(
        "--weights",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Folder with the model's weights; random ones are drawn if not given.",
    ),
]

GPU_OPTION: Option = click.option(
    "--gpu",
    "gpu_indices",
    type=click.IntRange(0),
    multiple=True,
    help="Index of the GPU, as nvidia-smi numbers it.",
)
