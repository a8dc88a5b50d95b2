"""Jobs against the contract: findings become Problems with the place in the text; then paths, keys, outputs.

`settle` finishes what expansion could not know: the service path (contract), local files (facts read by the caller) and
with them the key.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from wanspec.carry import media_fields, replaced
from wanspec.contract import Checker, Contract, Finding, LocalMedia, MediaFacts
from wanspec.contract.check import without_nulls
from wanspec.contract.media import form_of
from wanspec.contract.price import quantities
from wanspec.job import Job, key_of
from wanspec.problem import Label, Problem, Severity
from wanspec.spec.expand import slug
from wanspec.spec.expression import ExpressionError, has_expression, resolve

__all__ = ["check_jobs", "check_outputs", "local_references", "output_paths", "settle"]

#: (spec file, written reference) -> the local file, or a message and a hint
Survey = Callable[[str, str], LocalMedia | tuple[str, str]]

_ODD = re.compile(r'[\x00-\x1f<>:"|?*]')


def local_references(job: Job, contract: Contract) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The media fields of a job that name a local file, with what is written there."""
    for path, value, _ in media_fields(job, contract):
        is_address = "://" in value.removeprefix("file://") or has_expression(value)
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


def check_jobs(jobs: Iterable[Job], checker: Checker) -> list[Problem]:
    """Every finding of the contract about the jobs, one problem for one place however many jobs share it."""
    merged: dict[tuple[Any, ...], Problem] = {}
    for job in jobs:
        if not isinstance(job.body.get("model"), str) or not isinstance(job.body.get("input"), Mapping):
            continue  # said already, with a better place
        for finding in checker.check(job.body, region=job.region):
            problem = _problem(job, finding)
            same = (problem.code, problem.place, problem.message)
            seen = merged.get(same)
            merged[same] = problem if seen is None else dataclasses.replace(seen, jobs=(*seen.jobs, job.address))
    return list(merged.values())


def _problem(job: Job, finding: Finding) -> Problem:
    at_key = finding.keyword in ("x-unknown", "x-rule", "x-idle")
    place = job.place(finding.path, key=at_key)
    labels: tuple[Label, ...] = ()
    model_place = job.place(("model",))
    if (
        finding.path != ("model",)
        and model_place is not None
        and model_place != place
        and finding.severity is Severity.ERROR
    ):
        text = "this model requires it" if finding.code == "W102" else "this model sets the limit"
        labels = (Label(place=model_place, text=text),)
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
    """Where the results of a job go, relative to the project, one path for each of `made` (or as many as are asked for).

    Raises:
        ExpressionError: the template names something unknown.
    """
    model = contract.model(job.model)
    count: int | None = 1
    extension = "mp4"
    if model is not None:
        variant = model.variant(job.body)
        extension = {"jpeg": "jpg"}.get(variant.data["output"]["format"], variant.data["output"]["format"])
        _, count = quantities(variant, job.body)
    count = made or count or 1
    paths = []
    for index in range(count):
        scope = {
            "spec": {"name": job.spec},
            "job": {"id": job.address, "slug": slug(job.address)},
            "output": {"index": index, "ext": extension},
        }
        path = str(resolve(job.output, scope))
        if count > 1 and "output.index" not in job.output:
            stem, dot, suffix = path.rpartition(".")
            path = f"{stem}-{index}{dot}{suffix}" if dot and "/" not in suffix else f"{path}-{index}"
        paths.append(path)
    return paths


def check_outputs(jobs: Iterable[Job], contract: Contract) -> list[Problem]:
    """Outputs that leave the project, that a file system refuses, or that two different jobs share."""
    problems: list[Problem] = []
    owner: dict[str, Job] = {}
    for job in jobs:
        where = job.place(("output",)) or job.place((), key=True)
        try:
            paths = output_paths(job, contract)
        except ExpressionError as error:
            problems.append(
                Problem(
                    code="W015",
                    message=f"output of {job.address}: {error}",
                    place=where,
                    help=error.help,
                    jobs=(job.address,),
                )
            )
            continue
        for path in paths:
            fault = _path_fault(path)
            if fault:
                problems.append(
                    Problem(code="W112", message=f"output {path!r} {fault}", place=where, jobs=(job.address,))
                )
            first = owner.setdefault(path.casefold(), job)
            if first is not job:
                other = first.place(("output",)) or first.place((), key=True)
                problems.append(
                    Problem(
                        code="W111",
                        message=f"{job.address} and {first.address} both write {path}",
                        place=where,
                        labels=(Label(place=other, text="written here as well"),) if other else (),
                        expected="a path of its own for each job",
                        help="put ${{ job.slug }} into output",
                        jobs=(job.address, first.address),
                    )
                )
                break
    return problems


def _path_fault(path: str) -> str:
    parts = path.replace("\\", "/").split("/")
    if path.startswith(("/", "~", "\\")) or re.match(r"[A-Za-z]:", path):
        return "is not below the project directory"
    if ".." in parts:
        return "leaves the project directory"
    if any(part == "" for part in parts):
        return "has an empty part"
    if parts[0] == ".wanspec":
        return "lies in wanspec's own directory"
    if _ODD.search(path):
        return "has a character that a file system refuses"
    if any(len(part.encode()) > 240 for part in parts) or any(part.endswith((" ", ".")) for part in parts):
        return "has a part that a file system refuses"
    return ""
