"""What shells complete: names, where parameters say which, and the script that makes them ask."""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, Literal

import click
from click.shell_completion import CompletionItem, get_completion_class

from joulecast.traces.public.catalog import catalog, embedded_names
from joulecast.views.report import print_text

VARIABLE = "_JOULECAST_COMPLETE"
"""Environment variable through which a shell asks."""

Names = Iterable[tuple[str, str | None]]
"""A name, and what it is, for shells that show it."""

_WHERE = """\b
Put it where the shell looks for such scripts, and open a new shell:
  joulecast completion bash > ~/.local/share/bash-completion/completions/joulecast
  joulecast completion fish > ~/.config/fish/completions/joulecast.fish
  joulecast completion zsh > FOLDER/_joulecast    (FOLDER: one of $fpath)
Where bash has no bash-completion, put this into ~/.bashrc:
  eval "$(joulecast completion bash)"
"""


@click.command(epilog=_WHERE)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete commands and names.

    Names are those of options, tables, traces, tasks, models and GPUs.
    """
    shell_class = get_completion_class(shell)
    if shell_class is None:
        raise click.ClickException(f"this version of click knows no completion for {shell}")
    print_text(shell_class(ctx.find_root().command, {}, "joulecast", VARIABLE).source())


def _completing(
    names: Callable[[], Names], paths: Literal["file", "dir"] | None = None
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """What a parameter takes as `shell_complete`.

    Args:
        names: The names that may stand there.
        paths: Which paths may stand there, too. The shell itself completes them; bash does where no
            name begins so.
    """

    def complete(
        ctx: click.Context,  # noqa: ARG001 - click passes all three
        param: click.Parameter,  # noqa: ARG001
        incomplete: str,
    ) -> list[CompletionItem]:
        items = [] if paths is None else [CompletionItem(incomplete, type=paths)]
        # Whoever presses a key is in no need of an error; the command will tell.
        with contextlib.suppress(ImportError, OSError, ValueError):
            items += [
                CompletionItem(name, help=text)
                for name, text in names()
                if name.startswith(incomplete)
            ]
        return items

    return complete


def _tables() -> Names:
    from joulecast.measurements.table.table import table_names

    return [(name, None) for name in table_names()]


def _public_traces() -> Names:
    return [(name, entry.title) for name, entry in catalog().items()]


def _traces() -> Names:
    titles: dict[str, str | None] = dict.fromkeys(embedded_names(), "ships")
    with contextlib.suppress(ValueError):  # a catalogue of the user's own that cannot be read
        titles |= _public_traces()
    return sorted(titles.items())


def _tasks() -> Names:
    from joulecast.traces.public.tasks import task_names

    return [(name, None) for name in task_names()]


def _models() -> Names:
    from joulecast.measurements.models import model_names

    return [(name, None) for name in model_names()]


def _gpus() -> Names:
    from joulecast.measurements.hardware import gpu_names, load_gpu

    return [(name, load_gpu(name).product) for name in gpu_names()]


def _paper_figures() -> Names:
    from joulecast.estimator.paper.claims.claim import paper_figures

    return [(name, f"{figure.place}: {figure.title}") for name, figure in paper_figures().items()]


complete_tables = _completing(_tables, "dir")
complete_traces = _completing(_traces, "file")
complete_public_traces = _completing(_public_traces)
complete_tasks = _completing(_tasks)
complete_models = _completing(_models, "file")
complete_gpus = _completing(_gpus)
complete_paper_figures = _completing(_paper_figures)


def traces_argument(required: bool = True) -> Callable[[Any], Any]:
    """TRACE, one or several that together are one."""
    metavar = "TRACE..." if required else "[TRACE]..."
    return click.argument(
        "traces", nargs=-1, required=required, metavar=metavar, shell_complete=complete_traces
    )
