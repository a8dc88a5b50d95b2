"""Chains: the outputs of other jobs in a request, before they are there and when they are.

`link` gives an awaited output the kind and the format that its job will make, and checks that it makes so many and that the
field takes them. `arrive` puts the files in their place once they are on disk: only then has the job a key, which is made of
their content. So an upstream that makes the same bytes again makes nothing run again. Pure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from wanspec.carry import media_fields, replaced
from wanspec.contract import Contract, LocalMedia, MediaFacts
from wanspec.contract.check import without_nulls
from wanspec.contract.price import quantities
from wanspec.job import Awaited, Job, awaited, key_of
from wanspec.problem import Problem
from wanspec.spec.binding import Binding

__all__ = ["arrive", "link"]


def link(job: Job, jobs: Mapping[str, Job], contract: Contract) -> tuple[Job, list[Problem]]:
    """The job with the facts of what it waits for, and what is wrong with that; `jobs` are those of its spec by address."""
    waits = list(awaited(job.body))
    if not waits:
        return job, []
    problems: list[Problem] = []
    limits = {path: limits for path, _, limits in media_fields(job, contract)}
    body: Any = job.body
    for path, media in waits:
        upstream = jobs.get(media.address)
        model = contract.model(upstream.model) if upstream is not None else None
        if upstream is None or model is None:
            continue  # told with its own place
        # The job as it is written, so that all its cells have one fault.
        maker = upstream.binding.id if isinstance(upstream.binding, Binding) else media.address
        variant = model.variant(upstream.body)
        _, count = quantities(variant, upstream.body)
        fault = ""
        if path not in limits and contract.model(job.model) is not None:
            fault, hint = (
                f"{'.'.join(map(str, path))} takes no file",
                "an output of a job stands where a file may stand",
            )
        elif count is not None and media.output_index >= count:
            made = "1 output" if count == 1 else f"{count} outputs"
            fault = f"{maker} makes {made}; there is no outputs[{media.output_index}]"
            hint = "they are counted from 0"
        elif path in limits and limits[path].get("kind", model.kind) != model.kind:
            fault = f"{maker} makes {_article(model.kind)}; {path[-1]} takes {_article(limits[path]['kind'])}"
            hint = f"take a job that makes {_article(limits[path]['kind'])}"
        if fault:
            problems.append(
                Problem(
                    code="W020", message=fault, place=job.used(path), help=hint, path=".".join(map(str, path)),
                    jobs=(job.address,),
                )
            )  # fmt: skip
        # After a fault nothing more is said about the file.
        form = None if fault else variant.data["output"]["format"]
        facts = MediaFacts(kind=model.kind, format=form, size_bytes=0, sha256="")
        body = replaced(body, path, Awaited(media.address, media.output_index, facts=facts))
    return dataclasses.replace(job, body=body, key=""), problems


def arrive(job: Job, files: Mapping[tuple[str, int], LocalMedia]) -> Job:
    """The job with the files of other jobs, by (address, index), in the places of what it waited for, and its key.

    Raises:
        KeyError: one of them is not there.
    """
    body: Any = job.body
    for path, media in awaited(job.body):
        file = files[media.address, media.output_index]
        body = replaced(body, path, LocalMedia(str(media), file=file.file, facts=file.facts))
    body = without_nulls(dict(body))
    return dataclasses.replace(job, body=body, key=key_of(job.path, body, job.sample))


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
