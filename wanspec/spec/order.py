"""Which jobs of a text must be made before which, as far as their names are written out. Pure.

Only an order to begin with: what a name really means, and whether it may be used there, is told where it is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from wanspec.source import Mapping, Sequence

__all__ = ["in_order"]

_JOBS = re.compile(r"\bjobs\.([\w-]+)")


def in_order(jobs: Mapping, defaults: Mapping | None) -> Iterator[str]:
    """The ids so that each stands behind those that it names, however long the chain; in a circle somebody is first."""
    texts = [part.source.text for part in (jobs, defaults) if part is not None]
    has_names = any("jobs." in text for text in texts)
    shared = set(_named(defaults, has_names))
    done: set[str] = set()
    for first in jobs:
        stack = [(first, iter(()) if first in done else _after(first, jobs, shared, has_names))]
        seen = {first}
        while stack:
            name, rest = stack[-1]
            following = next((each for each in rest if each not in done and each not in seen), None)
            if following is not None:
                seen.add(following)
                stack.append((following, _after(following, jobs, shared, has_names)))
                continue
            stack.pop()
            if name not in done:
                done.add(name)
                yield name


def _after(id: str, jobs: Mapping, shared: set[str], has_names: bool) -> Iterator[str]:
    return iter([each for each in (*_named(jobs[id], has_names), *shared) if each in jobs])


def _named(job: Any, has_names: bool) -> Iterator[str]:
    """The ids that a written job may name."""
    if not isinstance(job, Mapping):
        return
    needs = job.get("needs")
    yield from (
        each for each in (job.get("for_each"), *(needs if isinstance(needs, Sequence) else ())) if isinstance(each, str)
    )
    todo: list[Any] = [job] if has_names else []
    seen: set[int] = set()
    while todo:
        node = todo.pop()
        if isinstance(node, str):
            yield from _JOBS.findall(node)
        elif isinstance(node, Mapping | Sequence) and id(node) not in seen:
            seen.add(id(node))
            todo += node.values() if isinstance(node, Mapping) else node
