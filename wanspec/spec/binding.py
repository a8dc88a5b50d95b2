"""What the expressions of one job stand for, and the names that it has: address and slug. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from wanspec.job import Awaited, Job
from wanspec.spec.expression import ExpressionError, Listed, Unresolved
from wanspec.spec.matrix import Cell, cell_name

__all__ = ["Binding", "address_of", "slug"]

#: Bytes of a slug; a longer one is cut, and ends in some digits of its hash.
LONGEST_SLUG = 160


def slug(address: str) -> str:
    """An address as part of a file name: letters and digits of every script stay, the rest becomes one dash."""
    text = re.sub(r"[^\w.*-]+", "-", address.replace("*", "x")).strip("-.") or "job"
    if len(text.encode()) <= LONGEST_SLUG:
        return text
    digest = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{text.encode()[: LONGEST_SLUG - 9].decode(errors='ignore').rstrip('-.')}-{digest}"


def address_of(id: str, each: Job | None, cell: Cell) -> str:
    """`job[axis values in declared order]`, after what the job that it goes over has in its brackets."""
    names = [cell_name(choice.key) for choice in cell]
    if each is not None and (inner := _inner(each.address)):
        names.insert(0, inner)
    return f"{id}[{','.join(names)}]" if names else id


def _inner(address: str) -> str:
    """What stands in the brackets of an address, with its sample; empty when there is nothing of that."""
    _, bracket, rest = address.partition("[")
    if not bracket:
        _, sign, sample = address.partition("#")
        return f"{sign}{sample}"
    values, _, sample = rest.rpartition("]")
    return values + sample


class Asked(Protocol):
    """The families of a spec, as far as an expression sees them."""

    name: str
    variables: Any
    jobs: Any

    def asked_for(self, id: str) -> list[Job]: ...


@dataclass(frozen=True, slots=True)
class Binding:
    """The scope of one job, kept as what it is made from."""

    families: Asked
    id: str
    address: str
    axes: tuple[str, ...]
    cell: Cell
    each: Job | None
    sample: int = 0
    #: whether there is a matrix that could be read; of one that could not nothing more is said
    is_readable: bool = True

    def scope(self) -> dict[str, Any]:
        families = self.families
        job = {"id": self.id, "slug": slug(self.address), "sample": self.sample + 1}
        scope: dict[str, Any] = {"vars": families.variables, "spec": {"name": families.name}, "job": job}
        if not self.is_readable:
            scope["matrix"] = Unresolved("matrix")
        elif self.cell:
            scope["matrix"] = dict(zip(self.axes, self.cell, strict=True))
        if self.each is not None:
            scope["each"] = self._each(self.each)
        if families.jobs:
            scope["jobs"] = _JobsScope(families)
        return scope

    def _each(self, job: Job) -> dict[str, Any]:
        upstream = job.binding
        found: dict[str, Any] = {"outputs": _Outputs(job.address), "id": job.address, "slug": slug(job.address)}
        matrix = upstream.cells() if isinstance(upstream, Binding) else {}
        return found | ({"matrix": matrix} if matrix else {})

    def cells(self) -> dict[str, Any]:
        """The values of the axes, with those of the jobs that this one goes over, as `each.matrix` shows them."""
        over = self.each.binding if self.each is not None else None
        before = over.cells() if isinstance(over, Binding) else {}
        return before | dict(zip(self.axes, self.cell, strict=True))


@dataclass(frozen=True, slots=True)
class _Outputs(Listed):
    """The outputs of a job that are not there yet."""

    address: str

    def entry(self, index: int) -> Awaited:
        return Awaited(self.address, index)


class _JobsScope(Mapping[str, Any]):
    """`jobs.X` of an expression."""

    def __init__(self, families: Asked) -> None:
        self._families = families

    def __contains__(self, id: object) -> bool:
        return True  # what is not there is told with its own words

    def __getitem__(self, id: str) -> Any:
        jobs = self._families.asked_for(id)
        if not jobs:
            return Unresolved(id)  # told where it should have made some
        if len(jobs) != 1:
            hint = f"go over them with for_each: {id}, and take ${{{{ each.outputs[0] }}}}"
            raise ExpressionError(f"{id} makes {len(jobs)} jobs, not one", hint, code="W018")
        return {"outputs": _Outputs(jobs[0].address)}

    def __iter__(self) -> Iterator[str]:
        return iter(self._families.jobs)

    def __len__(self) -> int:
        return len(self._families.jobs)
