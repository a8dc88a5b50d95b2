"""The `wanspec` command: its group, and the one place where an exception becomes a message and an exit code.

Commands are imported when they are called, so that `--help` and completion stay fast.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import click

from wanspec.errors import WanspecError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["cli", "entry"]

#: command -> (module of wanspec.cli, one line of help)
COMMANDS = {
    "validate": ("checking", "Check specs: text, models, references, files. No key, no network."),
    "plan": ("checking", "Show what a run would do and cost; send nothing."),
    "schema": ("checking", "Print the JSON Schema of spec files, for editors."),
    "explain": ("explaining", "Explain a code of a diagnostic, such as W104."),
    "check": ("contracts", "Check request bodies, as JSON, against the contract."),
    "models": ("contracts", "What each model accepts, answers and costs."),
    "from-curl": ("writing", "Make a spec of pasted curl commands."),
    "fmt": ("writing", "Format specs; comments and the meaning stay."),
    "run": ("running", "Submit, poll and download; goes on by itself where it stopped."),
    "fetch": ("running", "Poll and download what is paid for; never submit."),
    "retry": ("running", "Run again what failed."),
    "cancel": ("cancelling", "Cancel tasks that are still pending."),
    "status": ("showing", "List jobs and their states."),
    "show": ("inspecting", "Everything on one job; --curl prints its request."),
    "why": ("inspecting", "Why a job will run or will not, field by field."),
    "resolve": ("showing", "Settle what is in doubt: adopt a task, or allow one new submit."),
    "doctor": ("doctoring", "What a run would use and whether it can work; where each setting comes from."),
    "mock": ("mocking", "The local stand-in for the service."),
    "completion": ("completing", "Print the script that completes commands in a shell."),
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"wanspec.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands, without importing what they do."""
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from wanspec.problem import nearest

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = nearest(args[0], COMMANDS)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="wanspec")
def cli() -> None:
    """Version-controlled job specs for Wan video and image models: checked offline, priced, never paid for twice."""


def entry(arguments: list[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    try:
        code: Any = cli.main(arguments, prog_name="wanspec", standalone_mode=False)
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BaseExceptionGroup as group:
        return _explained(_first(group))
    except (WanspecError, KeyboardInterrupt, BrokenPipeError) as error:
        return _explained(error)
    except OSError as error:  # stdout, most of all: what is read and written elsewhere has messages of its own
        return _explained(WanspecError(f"cannot write: {error.strerror or error}"))
    return code if isinstance(code, int) else 0


def _explained(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, BrokenPipeError):
        return 1  # whoever read our output has gone
    if not isinstance(error, WanspecError):
        raise error
    for problem in getattr(error, "problems", ()):
        from wanspec.report.problems import problem_text

        click.echo(problem_text(problem, {}), err=True)
    click.echo(f"error: {error}", err=True)
    if error.hint:
        click.echo(f"  help: {error.hint}", err=True)
    return error.exit_code


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first exception of a group that means something to a person."""
    for error in group.exceptions:
        found = _first(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, WanspecError | KeyboardInterrupt):
            return found
    return _first(group.exceptions[0]) if isinstance(group.exceptions[0], BaseExceptionGroup) else group.exceptions[0]
