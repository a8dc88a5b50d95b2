"""Selection as a table: terms -> jobs, and what helps when a term means none."""

from __future__ import annotations

import pytest

from wanspec.errors import UsageError
from wanspec.job import Job
from wanspec.spec.select import Selection, select


def job(
    address: str,
    *,
    spec: str = "film",
    model: str = "wan2.6-t2v",
    tags: tuple[str, ...] = (),
    needs: tuple[str, ...] = (),
) -> Job:
    return Job(
        address=address, spec=spec, file="film.yaml", path="/p", region="beijing", body={"model": model, "input": {}}, output="o",
        key=f"w1:{spec}/{address}", tags=tags, needs=needs,
    )  # fmt: skip


JOBS = [
    job("still[day]", model="wanx2.1-t2i-turbo", tags=("draft",)),
    job("still[night]", model="wanx2.1-t2i-plus", tags=("draft", "night")),
    job("clip[day]", needs=("still[day]",), tags=("night-shift",)),
    job("clip[night]", needs=("still[night]",), tags=("night",)),
    job("cut", needs=("clip[day]", "clip[night]")),
    job("hero[a,720P]#1"),
    job("hero[a,720P]#2"),
    job("hero[b,1080P]"),
    job("clip[day]", spec="other"),
    job('odd["a,b"]'),
    job("猫[一]"),
]
STATES = {"film/still[day]": "done", "film/clip[day]": "failed", "film/cut": "waiting"}


def selected(**selection: object) -> list[str]:
    found = select(JOBS, Selection(**selection), STATES)  # type: ignore[arg-type]
    return [each.address if each.spec == "film" else each.full_address for each in found]


@pytest.mark.parametrize(
    ("take", "names"),
    [
        (["cut"], ["cut"]),
        (["clip"], ["clip[day]", "clip[night]", "other/clip[day]"]),
        (["clip[day]"], ["clip[day]", "other/clip[day]"]),
        (["film/clip[day]"], ["clip[day]"]),
        (["other/*"], ["other/clip[day]"]),
        (["*[night]"], ["still[night]", "clip[night]"]),
        (["hero[*,720P]*"], ["hero[a,720P]#1", "hero[a,720P]#2"]),
        (["hero[?,720P]#2"], ["hero[a,720P]#2"]),
        (["hero"], ["hero[a,720P]#1", "hero[a,720P]#2", "hero[b,1080P]"]),
        (["hero[a,*"], ["hero[a,720P]#1", "hero[a,720P]#2"]),
        (['odd["a,b"]'], ['odd["a,b"]']),
        (["猫"], ["猫[一]"]),
        (["c?t"], ["cut"]),
        (["*"], [each.address if each.spec == "film" else each.full_address for each in JOBS]),
        (["cut", "still[day]"], ["still[day]", "cut"]),
        (["  cut "], ["cut"]),
        (["tag:draft"], ["still[day]", "still[night]"]),
        (["tag:night"], ["still[night]", "clip[night]"]),
        (["tag:night*"], ["still[night]", "clip[day]", "clip[night]"]),
        (["model:wanx2.1-t2i-*"], ["still[day]", "still[night]"]),
        (["model:wanx2.1-t2i-plus"], ["still[night]"]),
        (["state:failed"], ["clip[day]"]),
        (["state:done", "state:waiting"], ["still[day]", "cut"]),
        (["+cut"], ["still[day]", "still[night]", "clip[day]", "clip[night]", "cut"]),
        (["+film/clip[day]"], ["still[day]", "clip[day]"]),
        (["still[day]+"], ["still[day]", "clip[day]", "cut"]),
        (["+film/clip[night]+"], ["still[night]", "clip[night]", "cut"]),
        (["+tag:night"], ["still[night]", "clip[night]"]),
        (["state:done+"], ["still[day]", "clip[day]", "cut"]),
    ],
)
def test_terms(take: list[str], names: list[str]) -> None:
    """Globs over addresses in which brackets mean themselves, ids for all cells, kinds, and what waits for what."""
    assert selected(take=tuple(take)) == names


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        ({"leave": ("clip", "hero", "odd", "猫")}, ["still[day]", "still[night]", "cut"]),
        ({"take": ("+cut",), "leave": ("tag:draft",)}, ["clip[day]", "clip[night]", "cut"]),
        ({"take": ("film/*",), "leave": ("*[*",)}, ["cut"]),
        ({"take": ("film/*",), "leave": ("+cut", "hero", "odd")}, ["猫[一]"]),
        ({"first": 2}, ["still[day]", "still[night]"]),
        ({"take": ("hero", "cut"), "first": 2}, ["cut", "hero[a,720P]#1"]),
        ({"leave": ("still",), "first": 1}, ["clip[day]"]),
        ({"first": 99, "take": ("cut",)}, ["cut"]),
    ],
)
def test_leaving_out_and_the_first_ones(selection: dict[str, object], names: list[str]) -> None:
    """What is left out goes after what is taken; the first ones are those of the specs' order."""
    assert selected(**selection) == names


@pytest.mark.parametrize(
    ("take", "message", "hint"),
    [
        ("clop", "'clop' selects no job", "did you mean clip"),
        ("clip[dya]", "selects no job", "did you mean clip[day]"),
        ("tag:nihgt", "selects no job", "did you mean tag:night?"),
        ("tag:zzz", "selects no job", "there is draft, night, night-shift"),
        ("model:wan2.6-t2", "selects no job", "did you mean model:wan2.6-t2v?"),
        ("state:faild", "selects no job", "did you mean state:failed?"),
        ("tags:night", "selects no job", "did you mean tag:night?"),
        ("", "'' selects no job", "the jobs are still, clip, cut, hero, odd, 猫"),
        ("zzzzzz", "selects no job", "the jobs are still"),
        ("+zzzzzz+", "selects no job", "the jobs are still"),
        ("hero[a.720P]#1", "selects no job", "did you mean"),
    ],
)
def test_a_term_that_means_nothing(take: str, message: str, hint: str) -> None:
    """It is an error of usage (exit 2) with near matches, never a run of nothing."""
    with pytest.raises(UsageError) as caught:
        selected(take=("cut", take))
    assert message in str(caught.value)
    assert hint in (caught.value.hint or "")
    assert caught.value.exit_code == 2


def test_nothing_left_is_an_error_too() -> None:
    with pytest.raises(UsageError, match="no job is selected"):
        selected(take=("clip",), leave=("clip",))
    with pytest.raises(UsageError) as caught:
        select([], Selection(first=1))
    assert caught.value.hint == "the specs have no jobs"


def test_states_need_a_ledger() -> None:
    with pytest.raises(UsageError, match="ledger"):
        select(JOBS, Selection(take=("state:done",)))
    assert Selection(take=("+state:done",)).needs_states
    assert not Selection(take=("clip",)).needs_states
    assert select(JOBS, Selection(take=("state:new",)), {})[0] is JOBS[0]


def test_no_selection_is_everything() -> None:
    assert select(JOBS, Selection()) == JOBS
    assert Selection().is_all
