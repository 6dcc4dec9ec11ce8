"""`joulecast completion`: what a shell needs to complete joulecast's words."""

import click
from click.shell_completion import get_completion_class

from joulecast.cli.names import VARIABLE
from joulecast.views.report import print_text

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
    """Print the script that makes SHELL complete commands, options, tables, traces and models."""
    made = get_completion_class(shell)
    if made is None:
        raise click.ClickException(f"this version of click knows no completion for {shell}")
    print_text(made(ctx.find_root().command, {}, "joulecast", VARIABLE).source())
