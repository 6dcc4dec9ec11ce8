"""The `joulecast` command: a file a command, each imported when it is called or completed."""

import contextlib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from joulecast.traces.errors import InputError
from joulecast.traces.printable import printable
from joulecast.version import VERSION

COMMANDS = {
    "compare": "Hold TRACE's estimates by several tables or deployments against each other.",
    "completion": "Print the script that makes SHELL complete commands and names.",
    "doctor": "Show what a bug report needs: versions, GPUs, traces, problems.",
    "estimate": "Estimate the energy of TRACE.",
    "flops": "Count the FLOPs of a request of MODEL.",
    "measure": "Measure E_batch(I, O) and B(I, O) on the GPU at hand.",
    "paper": "Hold the paper's other claims against what was measured here.",
    "plan": "Find what serves TRACE in time with the fewest GPUs, least energy or least cost.",
    "prices": "Show what a unit of each kind of work costs on GPU under ENGINE, or a model's rate "
    "card.",
    "regions": "List the regions that --carbon knows, with their intensity.",
    "replay": "Run requests drawn from each TRACE on the GPU, under the meter.",
    "table": "Look at energy tables.",
    "table4": "Regenerate the paper's Table 4 beside the published one.",
    "tables": "Regenerate the paper's Tables 1 to 3 beside the published ones.",
    "trace": "Look at traces and bin them.",
    "validate": "Hold every method's estimates of REPLAYS against what they took.",
}
"""Command -> first sentence of its help. `joulecast.cli.NAME` has it as NAME."""


class LazyGroup(click.Group):
    """A group that lists its commands without importing one, and ends errors with one line.

    Args:
        summaries: Command -> first sentence of its help.
        **settings: As for any group.
    """

    def __init__(self, *, summaries: Mapping[str, str], **settings: Any) -> None:
        # What stands for a command wherever names are listed, or one like a mistyped one is sought.
        stubs = {name: click.Command(name, short_help=text) for name, text in summaries.items()}
        super().__init__(commands=stubs, **settings)
        self._summaries = sorted(summaries.items())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, imported now."""
        if cmd_name not in self.commands:
            return None
        command: click.Command = getattr(
            importlib.import_module(f"joulecast.cli.{cmd_name}"), cmd_name
        )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands; a long sentence goes on in the next line."""
        with formatter.section("Commands"):
            formatter.write_dl(self._summaries)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin so, and options."""
        return [
            *(
                CompletionItem(name, help=summary)
                for name, summary in self._summaries
                if name.startswith(incomplete)
            ),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]

    def main(self, *args: Any, **settings: Any) -> Any:
        """Run, and end with one line, too, where the system refuses what nobody foresaw."""
        try:
            return super().main(*args, **settings)
        except OSError as error:
            place = error.filename or "the system refuses something"
            if error.filename is None and sys.stdout is not None:
                # What is still in the buffer would fail again, with a traceback, as Python ends.
                with contextlib.suppress(OSError, ValueError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            click.ClickException(printable(f"{place}: {error.strerror or error}")).show()
            sys.exit(1)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what was typed, for results that say how they were made."""
        if any("\0" in word for word in args):
            raise click.UsageError("no name of a file holds a NUL", ctx)
        ctx.meta["joulecast.words"] = tuple(args)
        return super().parse_args(ctx, args)

    def _advice(self, ctx: click.Context, text: str) -> str:
        """An error as the command has it that was called: with --on, deployments are lists."""
        command = self.get_command(ctx, ctx.invoked_subcommand or "")
        own = {option for param in (command.params if command else ()) for option in param.opts}
        if "--on" not in own:
            return text
        from joulecast.estimator.variants.wish import as_of_specs

        return as_of_specs(text, own)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, turning `InputError` into the line that the user sees."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            raise click.ClickException(self._advice(ctx, str(error))) from error
        except MemoryError as error:
            raise click.ClickException(
                "there is not enough memory; estimate a part of the trace, or use --method binned"
            ) from error


@click.group(
    cls=LazyGroup,
    summaries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(VERSION, message="%(prog)s %(version)s")
def main() -> None:
    """Forecast the energy that an LLM serving stack will spend on a request trace."""
    if threading.current_thread() is threading.main_thread():
        # Ended from outside, temporary files go and a sweep closes its folder, as with Ctrl-C.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
