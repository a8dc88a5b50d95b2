"""What goes wrong in one simulation: a plan of specs, a service, lives of processes and people, all drawn from one seed.

    plan_of(seed) -> Plan(texts, scenario, rounds of lives)

Pure: the same seed gives the same plan, and a plan is all that chance has to say before the run. What happens call by call
(how long a call takes, which of them break) is drawn by `simulation.World` and by the mock's own rules, from the same seed.
"""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from decimal import Decimal

from mock_server.rules import Rule, Then, When
from mock_server.scenario import LogNormal, Scenario, Timing
from wanspec.spec.budget import Caps

__all__ = ["Life", "Plan", "plan_of"]

STILL, STILL_2, CLIP = "wanx2.1-t2i-turbo", "wan2.2-t2i-flash", "wan2.6-i2v-flash"
#: the disk, the network and the service that nothing is the matter with
CALM = 0.0
NO_CAPS = Caps()


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One life of a process, as it is to go; times are seconds since it began."""

    #: which of the plan's specs it runs
    text: int = 0
    #: how long after the end of the round before
    after_s: float = 0.0
    #: the process dies at the effect boundary of this number, or at this time
    crash_at: int | None = None
    kill_s: float | None = None
    #: Ctrl-C
    stop_s: float | None = None
    #: (when, for how long) the process does nothing while the world goes on
    frozen: tuple[tuple[float, float], ...] = ()
    #: (from when, by how much) its wall clock is wrong
    wrong: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    #: the disk is full from the write of this number on, for so many writes
    full_at: int | None = None
    full_writes: int = 0
    submits: bool = True
    detach: bool = False
    fail_fast: bool = False
    concurrency: int | None = None
    caps: Caps = NO_CAPS
    #: what a person does before: "", resend (what is in doubt), retry (what has failed), refresh (what is done), cancel
    person: str = ""
    #: how often a connection cannot be made, and how often a call takes long
    not_sent: float = 0.0
    slow: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One simulation. `rounds` follow each other; the lives of a round are there at once."""

    seed: int
    texts: tuple[str, ...]
    scenario: Scenario
    #: the same service without any trouble, for the last lives
    calm: Scenario
    rounds: tuple[tuple[Life, ...], ...]
    #: (when, prompt) of tasks that somebody else makes with the same key
    foreign: tuple[tuple[float, str], ...] = ()
    has_media: bool = False

    @property
    def lives(self) -> list[Life]:
        return [life for lives in self.rounds for life in lives]

    @property
    def is_plain(self) -> bool:
        """Whether no process dies or is held up, no clock is wrong, and nobody else interferes: the judge must be content."""
        return not self.foreign and self.scenario.link_s > 3600.0 and all(
            life.crash_at is None and life.kill_s is None and not life.frozen and life.wrong == ((0.0, 0.0),)
            and life.after_s <= 3000.0 and not life.person and life.full_at is None and len(lives) == 1
            for lives in self.rounds for life in lives
        )  # fmt: skip


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    draw = random.Random(f"plan/{seed}")
    harm = draw.choice((CALM, 0.02, 0.05, 0.05, 0.1, 0.25))
    text, has_media = _spec(draw)
    texts = (text, text.replace("a cat", "a tiger")) if draw.random() < 0.12 else (text,)
    scenario = _service(draw, seed, harm)
    count = draw.choice((1, 1, 2, 2, 2, 3, 3, 4))
    rounds = []
    for _ in range(count):
        lives = [_life(draw, harm, len(texts))]
        if draw.random() < 0.2:
            lives.append(dataclasses.replace(_life(draw, harm, len(texts)), after_s=draw.uniform(0.0, 40.0)))
        rounds.append(tuple(lives))
    rounds[1:] = _with_people(random.Random(f"people/{seed}"), rounds[1:])
    foreign = ()
    if draw.random() < 0.12:
        foreign = tuple((draw.uniform(0.0, 200.0), f"a cat of others {n}") for n in range(draw.randint(1, 3)))
    calm = dataclasses.replace(scenario, rules=(), list_lag_s=0.0, seed=seed)
    return Plan(
        seed=seed, texts=texts, scenario=scenario, calm=calm, rounds=tuple(rounds), foreign=foreign, has_media=has_media
    )


# ---- the work


def _spec(draw: random.Random) -> tuple[str, bool]:
    """A spec of one to some ten jobs: models, seeds, equal work, samples, chains, local files."""
    jobs: list[str] = []
    for index in range(draw.choice((1, 1, 2, 2, 3, 4, 5))):
        model = draw.choice((STILL, STILL, STILL, STILL_2))
        prompt = f"a cat {index}" if draw.random() < 0.9 else "a cat"  # some prompts begin as another one does
        more = ", samples: 2" if draw.random() < 0.06 else ""
        more += f", priority: {draw.randint(0, 3)}" if draw.random() < 0.2 else ""
        count = draw.choice((1, 1, 1, 2))
        jobs.append(
            f"  job{index}: {{model: {model}, input: {{prompt: {prompt}}}, parameters: {{n: {count}, seed: {index}}}{more}}}"
        )
    if draw.random() < 0.12:  # the same work under another name
        jobs.append(f"  twin: {{model: {STILL}, input: {{prompt: a cat 0}}, parameters: {{n: 1, seed: 0}}}}")
    if draw.random() < 0.12:
        jobs.append(
            "  grid:\n    matrix: {seed: [11, 12, 13]}\n"
            f"    model: {STILL}\n    input: {{prompt: a cat in a grid}}\n"
            '    parameters: {n: 1, seed: "${{ matrix.seed }}"}'
        )
    if draw.random() < 0.15:
        jobs.append(
            f"  clip:\n    for_each: job0\n    model: {CLIP}\n    input: {{prompt: it walks, img_url: "
            '"${{ each.outputs[0] }}"}'
        )
    if draw.random() < 0.08:
        jobs.append(f"  after: {{model: {STILL}, needs: [job0], input: {{prompt: a cat after}}, parameters: {{n: 1}}}}")
    has_media = draw.random() < 0.08
    if has_media:
        jobs.append(
            f"  song: {{model: {CLIP}, input: {{prompt: it sings, img_url: ./frame.png, audio_url: ./rap.wav}}}}"
        )
    caps = f"limits: {{max_jobs: {draw.randint(1, 4)}}}\n" if draw.random() < 0.06 else ""
    return "wanspec: 1\n" + caps + "jobs:\n" + "\n".join(jobs) + "\n", has_media


# ---- the service


def _service(draw: random.Random, seed: int, harm: float) -> Scenario:
    """Limits, times, links, and how often which call goes wrong."""
    running: Timing = draw.choice(
        ((1.0, 8.0), (5.0, 30.0), (5.0, 30.0), (20.0, 90.0), LogNormal(median_s=20.0, sigma=0.8))
    )
    strict = draw.random() < 0.3
    return Scenario(
        seed=seed,
        pending_s=draw.choice(((0.02, 0.2), (0.0, 30.0))),
        running_s=running,
        # A limit that is lower than the contract's is known only where the service is heard.
        running_limit=draw.choice((None, None, 3, 5) if harm else (None, 1, 3)),
        submit_per_s=draw.choice((None, None, 5.0)),
        reject_over_running=strict,
        list_lag_s=draw.choice((0.0, 0.0, 2.0, 20.0, 45.0)) if harm else 0.0,
        link_s=draw.choice((86400.0, 86400.0, 600.0)),
        fresh_links=draw.random() < 0.5,
        failed_form=draw.choice(("short", "long")),
        rules=_rules(draw, harm) if harm else (),
    )


def _rules(draw: random.Random, harm: float) -> tuple[Rule, ...]:
    """Trouble on every surface, each with a chance about `harm`; and now and then a storm."""
    rules: list[Rule] = []
    kinds = {
        "create": (
            "drop", "reset", "hang", "500", "502", "503", "429", "lost", "lost_hang", "lost_500", "lost_502",
            "lost_truncate", "lost_garbage", "delay", "queue_full", "submit_internal",
        ),
        "poll": ("drop", "reset", "hang", "500", "502", "503", "429", "unknown", "garbage", "truncate", "delay"),
        "list": ("drop", "500", "502", "429", "empty", "lag", "garbage", "truncate", "delay"),
        "download": ("drop", "truncate", "500", "503", "403", "404", "hang", "delay"),
        "upload": ("drop", "500", "403", "lost", "delay"),
        "quota": ("drop", "500", "429"),
        "task": ("task_internal", "task_timeout", "moderated", "partial", "data_inspection_output", "stuck", "delay"),
    }  # fmt: skip
    for on, effects in kinds.items():
        if draw.random() < 0.35:
            continue
        for do in draw.sample(effects, k=min(len(effects), draw.randint(1, 4))):
            share = harm * draw.choice((0.3, 1.0, 1.0, 2.0)) * (0.4 if on == "task" else 1.0)
            wait_s = draw.choice((None, None, 3.0, 45.0)) if do in ("429", "503") and on != "download" else None
            delay_s = draw.choice((1.0, 12.0, 25.0, 40.0)) if do == "delay" else 0.0
            rules.append(
                Rule(
                    when=When(on=on, probability=min(share, 0.6)),
                    then=Then(do=do, retry_after_s=wait_s, delay_s=delay_s, lag_s=draw.choice((10.0, 40.0))),
                )
            )
    if draw.random() < 0.15:
        on = draw.choice(("create", "poll"))
        rules.append(
            Rule(
                when=When(on=on, after=draw.randint(0, 4), first=draw.randint(3, 12)),
                then=Then(do="429", retry_after_s=draw.choice((None, 2.0, 20.0))),
            )
        )
    return tuple(rules)


# ---- the processes


def _life(draw: random.Random, harm: float, texts: int) -> Life:
    """How one life goes."""
    chance = draw.random
    frozen: list[tuple[float, float]] = []
    if harm and chance() < 0.25:
        frozen = [
            (draw.uniform(0.0, 150.0), draw.choice((5.0, 12.0, 40.0, 60.0, 120.0, 3600.0, 30000.0))) for _ in "ab"
        ]
    wrong: list[tuple[float, float]] = [(0.0, 0.0)]
    if harm and chance() < 0.15:
        wrong = [(0.0, draw.choice((-40.0, 3.0, 300.0, -7200.0, 7200.0)))]
        if chance() < 0.3:
            wrong.append((draw.uniform(1.0, 200.0), 0.0))
    end = (
        draw.choice(("itself", "itself", "crash", "crash", "kill", "stop")) if harm else draw.choice(("itself", "stop"))
    )
    mode = chance()
    return Life(
        text=draw.randrange(texts),
        after_s=draw.choice((0.0, 1.0, 30.0, 200.0, 3000.0, 40000.0)),
        crash_at=int(draw.expovariate(1 / 60)) if end == "crash" else None,
        kill_s=draw.uniform(0.0, 240.0) if end == "kill" else None,
        stop_s=draw.uniform(0.0, 240.0) if end == "stop" else None,
        frozen=tuple(sorted(frozen)),
        wrong=tuple(wrong),
        full_at=draw.randint(0, 30) if harm and chance() < 0.08 else None,
        full_writes=draw.choice((1, 3, 1000)),
        submits=mode > 0.08,
        detach=0.08 < mode < 0.16,
        fail_fast=0.16 < mode < 0.24,
        concurrency=draw.choice((None, None, None, 1, 2, 3)),
        caps=_caps(draw) if chance() < 0.12 else NO_CAPS,
        person=draw.choice(("resend", "retry")) if chance() < 0.06 else "",
        not_sent=harm * draw.choice((0.0, 0.5, 1.0)),
        slow=harm * draw.choice((0.0, 1.0)),
    )


def _with_people(draw: random.Random, rounds: list[tuple[Life, ...]]) -> list[tuple[Life, ...]]:
    """Now and then somebody wants anew what is done, or cancels what is under way, also in another process."""
    changed = []
    for lives in rounds:
        is_asked = not any(life.person or life.fail_fast for life in lives) and draw.random() < 0.1
        person = draw.choice(("refresh", "cancel"))
        changed.append((*lives[:-1], dataclasses.replace(lives[-1], person=person)) if is_asked else lives)
    return changed


def _caps(draw: random.Random) -> Caps:
    if draw.random() < 0.6:
        return Caps(max_jobs=draw.randint(0, 5))
    return Caps(max_cost=(Decimal(draw.choice(("0.1", "0.3", "0.5", "3"))), "CNY"))
