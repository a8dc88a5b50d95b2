"""Jobs against the contract: findings become Problems with the place in the text; then paths, keys, outputs.

`settle` finishes what expansion could not know: the service path (contract), local files (facts read by the caller) and
with them the key.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from wanspec.carry import media_fields, replaced
from wanspec.contract import Checker, Contract, Finding, LocalMedia, MediaFacts
from wanspec.contract.check import without_nulls
from wanspec.contract.media import form_of
from wanspec.contract.price import quantities
from wanspec.job import Job, key_of
from wanspec.problem import Label, Problem, Severity
from wanspec.spec.binding import slug
from wanspec.spec.expression import Unresolved, resolve

__all__ = ["capability", "check_jobs", "check_outputs", "local_references", "output_paths", "settle"]

#: folded path -> who writes it, with the path as written
Owners = dict[str, list[tuple[Job, str]]]
#: (spec file, written reference) -> the local file, or a message and a hint
Survey = Callable[[str, str], LocalMedia | tuple[str, str]]

OUTPUT_HELP = "an output is a path below the project, like renders/${{ job.slug }}.${{ output.ext }}"
#: Codes of what one model does and another does not.
_CANNOT = frozenset({"W104", "W106", "W107", "W108"})
#: More results than any model gives for one job.
MOST_OUTPUTS = 20
#: endings of files -> the format that they say
_ENDINGS = {
    "jpg": "jpeg", **{each: each for each in ("jpeg", "png", "webp", "gif", "mp4", "mov", "avi", "webm", "mp3", "wav")},
}  # fmt: skip
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])\s*(\.|\Z)", re.IGNORECASE)
_ODD = re.compile(r'[\x00-\x1f<>:"|?*]')


def local_references(job: Job, contract: Contract) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The media fields of a job that name a local file, with what is written there."""
    for path, value, _ in media_fields(job, contract):
        is_address = "://" in value.removeprefix("file://") or isinstance(value, Unresolved)
        if value and form_of(value) == "unknown" and not is_address:
            yield path, value


def settle(job: Job, contract: Contract, survey: Survey) -> tuple[Job, list[Problem]]:
    """The job with its service path, its local files and its key."""
    problems: list[Problem] = []
    body: Any = job.body
    for path, written in list(local_references(job, contract)):
        found = survey(job.file, written)
        if isinstance(found, tuple):
            message, hint = found
            body = replaced(body, path, LocalMedia(written, file="", facts=MediaFacts(size_bytes=0, sha256="")))
            problems.append(
                Problem(
                    code="W109",
                    message=message,
                    help=hint,
                    place=job.place(path),
                    path=".".join(map(str, path)),
                    expected="a file beside the spec, or an address",
                    jobs=(job.address,),
                )
            )
        else:
            body = replaced(body, path, found)
    model = contract.model(job.model)
    service_path = model.path if model is not None else ""
    body = without_nulls(dict(body))
    return dataclasses.replace(job, body=body, path=service_path, key=key_of(service_path, body, job.sample)), problems


def capability(checker: Checker) -> Callable[[str, Any], str | None]:
    """For `unsupported: skip`: why a model cannot do a request, or None. What is wrong for every model is no answer."""

    def incapable(region: str, body: Any) -> str | None:
        is_request = isinstance(body.get("input"), Mapping) and isinstance(body.get("parameters", {}), Mapping)
        if not is_request or checker.contract.model(str(body.get("model"))) is None:
            return None
        known = region if region in checker.contract.service["regions"] else None
        for finding in checker.check(without_nulls(dict(body)), region=known):
            if finding.code in _CANNOT and not isinstance(_value_at(body, finding.path), Unresolved):
                takes = finding.expected.removesuffix(" (or leave it out)")
                return finding.message + (f"; it takes {takes}" if takes else "")
        return None

    return incapable


def check_jobs(jobs: Iterable[Job], checker: Checker) -> list[Problem]:
    """Every finding of the contract about the jobs, with its place in the text."""
    problems: list[Problem] = []
    for job in jobs:
        if not isinstance(job.body.get("model"), str) or not isinstance(job.body.get("input"), Mapping):
            continue  # said already, with a better place
        if not isinstance(job.body.get("parameters", {}), Mapping):
            continue
        region = job.region if job.region in checker.contract.service["regions"] else None
        for finding in checker.check(job.body, region=region):
            if isinstance(_value_at(job.body, finding.path), Unresolved):
                continue  # an expression that names nothing has been told as that
            problems.append(_problem(job, finding))
        model = checker.contract.model(job.model)
        if model is not None and model.call == "sync":
            problems.append(_at_once(job))
    return problems


def _at_once(job: Job) -> Problem:
    """A model without a task: there is nothing to find again when its answer is lost, so it is not run."""
    return Problem(
        code="W113",
        message=f"{job.model} answers at once; wanspec runs models that make tasks",
        place=job.place(("model",)),
        path="model",
        help="send it yourself (`wanspec check` checks its bodies), or take a model that `wanspec models ls` lists as async",
        jobs=(job.address,),
    )


def _problem(job: Job, finding: Finding) -> Problem:
    at_key = finding.keyword in ("x-unknown", "x-rule", "x-idle")
    place = job.place(finding.path, key=at_key)
    labels: tuple[Label, ...] = ()
    used = job.used(finding.path, key=at_key)
    if used is not None and used != place:
        labels = (Label(place=used, text="used here"),)
    model_place = job.used(("model",))
    if (
        finding.path != ("model",)
        and model_place is not None
        and model_place != place
        and finding.severity is Severity.ERROR
    ):
        text = "this model requires it" if finding.code == "W102" else "this model sets the limit"
        labels = (*labels, Label(place=model_place, text=text))
    return Problem(
        code=finding.code,
        severity=finding.severity,
        message=finding.message,
        place=place,
        expected=finding.expected,
        allowed=finding.allowed,
        help=finding.help,
        path=finding.dotted,
        labels=labels,
        jobs=(job.address,),
    )


def output_paths(job: Job, contract: Contract, made: int | None = None) -> list[str]:
    """Where the results of a job go, relative to the project, one path for each of `made` (or as many as are asked for)."""
    model = contract.model(job.model)
    count: int | None = 1
    extension = "mp4"
    if model is not None:
        variant = model.variant(job.body)
        extension = {"jpeg": "jpg"}.get(variant.data["output"]["format"], variant.data["output"]["format"])
        _, count = quantities(variant, job.body)
        # A count that the model refuses is told as that; it is not counted out.
        limits = variant.field(variant.data["output"].get("count") or "") or {}
        count = min(count or 1, limits.get("maximum", MOST_OUTPUTS))
    count = made or max(count or 1, 1)
    scope: dict[str, Any] = {"spec": {"name": job.spec}, "job": {"id": job.address, "slug": slug(job.address)}}
    paths = [
        str(resolve(job.output, scope | {"output": {"index": index, "ext": extension}})).removeprefix("./")
        for index in range(count)
    ]
    return [_numbered(path, index) for index, path in enumerate(paths)] if len(set(paths)) < count else paths


def _numbered(path: str, index: int) -> str:
    """`a/still.png` -> `a/still-0.png`: of several results under one name."""
    stem, dot, suffix = path.rpartition(".")
    return f"{stem}-{index}{dot}{suffix}" if dot and "/" not in suffix else f"{path}-{index}"


def check_outputs(jobs: Iterable[Job], contract: Contract) -> list[Problem]:
    """Outputs that leave the project, that a file system refuses, or that different jobs share."""
    problems: list[Problem] = []
    owners: Owners = {}
    for job in jobs:
        where = job.place(("output",))
        if isinstance(job.output, Unresolved):
            continue  # told where the expression stands
        for index, path in enumerate(output_paths(job, contract)):
            fault = _path_fault(path)
            if fault:
                problems.append(
                    Problem(
                        code="W112",
                        message=f"output {path!r} {fault}",
                        place=where,
                        help=OUTPUT_HELP,
                        jobs=(job.address,),
                    )
                )
                break
            if index == 0 and (warning := _ending_fault(job, path, contract)):
                problems.append(warning)
            same = _folded(path)
            if all(other is not job for other, _ in owners.setdefault(same, [])):
                owners[same].append((job, path))
    return problems + list(_collisions(owners))


def _ending_fault(job: Job, path: str, contract: Contract) -> Problem | None:
    """An ending that says another format than the model makes: a slip, and no player will thank for it."""
    model = contract.model(job.model)
    ending = path.rpartition(".")[2].lower()
    if model is None or "." not in path or _ENDINGS.get(ending) is None:
        return None
    form = str(model.variant(job.body).data["output"]["format"])
    if _ENDINGS[ending] == form:
        return None
    return Problem(
        code="W206", severity=Severity.WARNING, message=f"output {path!r} ends in .{ending}; {job.model} makes {form}",
        place=job.place(("output",)), help="write ${{ output.ext }} for the ending", jobs=(job.address,),
    )  # fmt: skip


def _collisions(owners: Owners) -> Iterator[Problem]:
    """Jobs that write one path, the note beside another's output, or into another's file; once for the same jobs."""
    told: set[tuple[str, ...]] = set()
    for same, sharing in owners.items():
        job, path = sharing[0]
        found = []
        if len(sharing) > 1:
            found.append(_shared([each for each, _ in sharing], sharing[1][1]))
        if f"{same}.json" in owners and owners[f"{same}.json"][0][0] is not job:
            found.append(_on_note(*owners[f"{same}.json"][0], job, path))
        for parent in _parents(same):
            for file in (parent, parent.removesuffix(".json")):  # the note is a file as well
                if file in owners and owners[file][0][0] is not job:
                    found.append(_inside(job, path, owners[file][0][0], owners[file][0][1] + parent[len(file) :]))
                    break
        for problem in found:
            if problem.jobs not in told:
                told.add(problem.jobs)
                yield problem


def _folded(path: str) -> str:
    """What a file system may take to be the same name."""
    return unicodedata.normalize("NFC", path).casefold()


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _shared(jobs: list[Job], path: str) -> Problem:
    """Several jobs, one path: told at the second, with the first beside it."""
    names = [job.address for job in jobs]
    who = (
        f"{names[1]} and {names[0]} both"
        if len(names) == 2
        else f"{names[1]}, {names[0]} and {len(names) - 2} more all"
    )
    first, place = jobs[0].place(("output",)), jobs[1].place(("output",))
    return Problem(
        code="W111",
        message=f"{who} write {path}",
        place=place,
        labels=(Label(place=first, text="written here as well"),) if first is not None and first != place else (),
        expected="a path of its own for each job",
        help=_parting(jobs),
        jobs=tuple(names),
    )


def _parting(jobs: list[Job]) -> str:
    """What gives each of the jobs a path of its own."""
    if len({_folded(slug(job.address)) for job in jobs}) == len(jobs):
        return "put ${{ job.slug }} into output"
    return "give one of them another name: to many file systems these are one"


def _on_note(job: Job, path: str, other: Job, beside: str) -> Problem:
    first = other.place(("output",))
    return Problem(
        code="W111",
        message=f"{job.address} writes {path}, which is the note beside {beside} of {other.address}",
        place=job.place(("output",)),
        labels=(Label(place=first, text="its note ends in .json"),) if first is not None else (),
        expected="another path",
        jobs=(job.address, other.address),
    )


def _inside(job: Job, path: str, other: Job, parent: str) -> Problem:
    first = other.place(("output",))
    return Problem(
        code="W111",
        message=f"{job.address} writes {path}, but {parent} is a file of {other.address}",
        place=job.place(("output",)),
        labels=(Label(place=first, text="a file, not a directory"),) if first is not None else (),
        expected="another path",
        jobs=(job.address, other.address),
    )


def _value_at(body: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        try:
            body = body[step]
        except (KeyError, IndexError, TypeError):
            return None
    return body


def _path_fault(path: str) -> str:
    parts = path.replace("\\", "/").split("/")
    if path.startswith(("/", "~", "\\")) or re.match(r"[A-Za-z]:", path):
        return "is not below the project directory"
    if ".." in parts:
        return "leaves the project directory"
    if any(part == "" for part in parts):
        return "has an empty part"
    if parts[0].casefold() == ".wanspec":
        return "lies in wanspec's own directory"
    if _ODD.search(path):
        return "has a character that a file system refuses"
    if any(len(part.encode()) > 240 for part in parts) or any(part.endswith((" ", ".")) for part in parts):
        return "has a part that a file system refuses"
    if any(_DEVICE.match(part) for part in parts):
        return "has a name that belongs to a device, which some file system refuses"
    return ""
