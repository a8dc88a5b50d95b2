"""from-curl, fmt: what writes specs."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from wanspec.cli.options import contract_option
from wanspec.errors import SettingsError, UsageError
from wanspec.problem import Problem, Severity
from wanspec.report.problems import problem_text
from wanspec.source import Source, decode
from wanspec.text import as_shown

__all__ = ["fmt", "from_curl"]

SCHEMA = "wanspec.schema.json"


@click.command("from-curl")
@click.argument("files", metavar="[FILE|-]...", nargs=-1, type=click.Path(path_type=str))
@click.option("-o", "--out", metavar="SPEC.yaml", help="Write the spec to a file. [default: stdout]")
@click.option("--name", metavar="ID", default="", help="Id of the job. [default: of its prompt]")
@click.option("--force", is_flag=True, help="With -o: replace a file that is there.")
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
@contract_option
def from_curl(
    files: tuple[str, ...], out: str | None, name: str, force: bool, quiet: bool, contract_dirs: tuple[str, ...]
) -> int:
    """Make a spec of pasted curl commands: a file, or standard input, with any text around them.

    Calls that create no task are left out, and a key is never written. Exit code 1 when anything cannot be understood;
    then nothing is written.
    """
    from wanspec.contract import Checker
    from wanspec.overlay import contract_with
    from wanspec.spec.curl import hide_keys, read_pastes
    from wanspec.spec.draft import drafted
    from wanspec.spec.dump import spec_text

    if force and out is None:
        raise click.UsageError("--force has an effect only with -o")
    if not files and sys.stdin.isatty():
        raise UsageError("nothing was pasted", hint="name a file, or paste into standard input: wanspec from-curl -")
    if out is not None and Path(out).exists() and not force:
        raise UsageError(f"{out} is there already", hint="--force replaces it")
    sources: dict[str, Source] = {}
    texts, problems = [], []
    for file in dict.fromkeys(files or ("-",)):
        data = sys.stdin.buffer.read() if file == "-" else _bytes(file)
        called = "<stdin>" if file == "-" else file
        text, problem = decode(data, called)
        if problem is not None:
            sources[called] = Source(called, hide_keys(as_shown(data))[0])
            problems.append(problem)
        elif text is not None:
            texts.append((called, text))
    checker = Checker(contract_with(contract_dirs, None))
    requests, faults, notes = read_pastes(texts, checker, _reader(hide_keys), sources)
    problems += faults
    for each in sorted(problems, key=lambda each: each.severity is Severity.ERROR):
        if each.is_error or not quiet:
            click.echo(problem_text(each, sources), err=True)
    if not quiet:
        for note in notes:
            click.echo(f"note: {note}", err=True)
    if any(each.is_error for each in problems):
        return 1
    heading = f"# yaml-language-server: $schema=./{SCHEMA}\n" if out is not None else ""
    document = drafted(requests, name=name, moved=_moved(out))
    written = spec_text(document, heading=heading)
    if out is None:
        sys.stdout.buffer.write(written.encode())
        sys.stdout.buffer.flush()
        return 0
    _write(Path(out), written)
    if not quiet:
        click.echo(f"{out}: {len(requests)} job(s)", err=True)
        if not (Path(out).parent / SCHEMA).exists():
            click.echo(f"  help: `wanspec schema -o {Path(out).parent / SCHEMA}` lets editors complete it", err=True)
    return 0


def _reader(hide: Callable[[str], tuple[str, list[int]]]) -> Callable[[str], str | Problem]:
    """Reads the file of a `-d @FILE`; a key in it is blotted out."""

    def read(file: str) -> str | Problem:
        try:
            data = Path(file).expanduser().read_bytes()
        except OSError as error:
            hint = "a path in a command is relative to the directory that you are in"
            return Problem(code="W008", message=f"cannot read {file}: {error.strerror}", help=hint)
        text, problem = decode(data, file)
        return hide(text)[0] if text is not None else problem or Problem(code="W002", message=f"{file} is no text")

    return read


def _moved(out: str | None) -> Callable[[str], str]:
    """A local file as it is named in a spec at `out`: relative to it."""

    def moved(path: str) -> str:
        if Path(path).is_absolute() or path.startswith("~"):
            return path
        found = os.path.relpath(path, Path(out).parent if out is not None else ".")
        return found.replace("\\", "/") if found.startswith("..") else "./" + found.replace("\\", "/")

    return moved


@click.command()
@click.argument("files", metavar="[FILE|-]...", nargs=-1, required=True, type=click.Path(path_type=str))
@click.option("--check", is_flag=True, help="Write nothing; end with 1 when a file is not as it would be written.")
@click.option("--diff", is_flag=True, help="Write nothing; print what would change.")
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
def fmt(files: tuple[str, ...], check: bool, diff: bool, quiet: bool) -> int:
    """Format specs: indentation, spacing, order of keys, quotes. Comments, anchors and the meaning stay as they are.

    `-` formats standard input to standard output. Exit code 1: a fault in a text, or with --check a file to format.
    """
    from wanspec.spec.format import formatted

    code, changed = 0, 0
    for file in dict.fromkeys(files):
        data = sys.stdin.buffer.read() if file == "-" else _bytes(file)
        name = "<stdin>" if file == "-" else file
        text, problems = formatted(data, name)
        if text is None:
            source = Source(name, as_shown(data))
            for problem in problems:
                click.echo(problem_text(problem, {name: source}), err=True)
            code = 1
            continue
        new = text.encode()
        is_same = new == data
        changed += not is_same
        if diff and not is_same:
            _print(_difference(as_shown(data), text, name))
        if file == "-" and not check and not diff:
            _print(text)
        elif not is_same and not check and not diff:
            _write(Path(file), text)
        if not is_same and not quiet and not diff and file != "-":
            click.echo(f"{file}: {'would be formatted' if check else 'formatted'}", err=True)
    if not quiet and not changed and not code and "-" not in files:
        click.echo(f"{len(files)} file(s): nothing to format", err=True)
    return 1 if code or (check and changed) else 0


def _difference(before: str, after: str, name: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), name, f"{name} (formatted)"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _print(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()


def _bytes(file: str) -> bytes:
    """The bytes of a file.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}", hint="name a file that can be read") from error


def _write(path: Path, text: str) -> None:
    """Write a file as a whole or not at all.

    Raises:
        SettingsError: it cannot be written.
    """
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.part")
    try:
        temporary.write_bytes(text.encode())
        if target.exists():
            temporary.chmod(target.stat().st_mode)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SettingsError(f"cannot write {path}: {error.strerror}") from error
