"""completion: the script that lets a shell complete commands, options and file names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]

#: what the script sets to ask for completions; click's name for a program that is called wanspec
_ASKED_BY = "_WANSPEC_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the completion script of SHELL.

    \b
    bash:  eval "$(wanspec completion bash)"               in ~/.bashrc
    zsh:   eval "$(wanspec completion zsh)"                in ~/.zshrc, behind compinit
    fish:  wanspec completion fish > ~/.config/fish/completions/wanspec.fish
    """
    from wanspec.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "wanspec", _ASKED_BY).source())
    return 0
