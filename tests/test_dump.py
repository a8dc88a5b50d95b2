"""Values as YAML: whatever is written reads back exactly, here and under YAML 1.1, and looks as a person would write it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sameness import same

from wanspec.source import load
from wanspec.spec.dump import WIDTH, scalar, spec_text
from wanspec.spec.format import formatted

characters = st.characters(exclude_categories=["Cs"])
words = st.sampled_from(
    [
        "a", "cat", "no", "on", "y", "null", "~", "16:9", "0123", "1_000", "1e3", "0x1F", "0o17", "2026-11-20", "10:30:00", ".5",
        "<<", "=", "- a", "a: b", "a #b", "#a", "{a}", "[a]", "&a", "*a", "!a", "|", ">-", "'a'", '"a"', "%a", "@a", "`a", "---",
        "...", "? a", "-", ":", "a:", "屋顶上的猫", "🐈", "\u2028", "\x85", "\ufeff", "\xa0", "\\", "\t", "\n", " ", "${{ x }}", "",
        "true", "+1", "-.inf", ".nan", "1,5", "1.", "00", "-0", "x" * 90, "一" * 60, "\x00", "\x1b[31m", "\u202e",
    ]
)  # fmt: skip
texts = st.one_of(
    words,
    st.text(characters, max_size=40),
    st.lists(words, max_size=40).map(" ".join),
    st.lists(words, max_size=12).map("\n".join),
)
numbers = st.one_of(st.integers(-(10**30), 10**30), st.floats(allow_nan=False, allow_infinity=False))
leaves = st.one_of(texts, numbers, st.booleans(), st.none())
documents = st.dictionaries(
    texts,
    st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
        max_leaves=20,
    ),
    min_size=1,
    max_size=5,
)  # fmt: skip


@given(documents)
def test_what_is_written_reads_back_exactly(document: dict[str, Any]) -> None:
    """Values, types and order; and nothing that is written is changed by the formatter."""
    text = spec_text(document)
    value, problems = load(text, "x")
    assert problems == [], text
    assert same(document, value), text
    assert text.endswith("\n")
    once, faults = formatted(text, "x")
    assert faults == []
    assert once is not None
    assert formatted(once, "x")[0] == once


@given(st.dictionaries(texts, st.one_of(texts, st.lists(texts, max_size=3)), min_size=1, max_size=4))
def test_texts_are_texts_for_every_reader(document: dict[str, Any]) -> None:
    """A reader of YAML 1.1 sees the same texts: `no`, `16:9`, dates and numbers are quoted."""
    assert yaml.load(spec_text(document), yaml.CSafeLoader) == document


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a cat", "a cat"), ("no", '"no"'), ("16:9", '"16:9"'), ("0123", '"0123"'), ("1280*720", "1280*720"), ("", '""'),
        ("https://example.com/a.png", '"https://example.com/a.png"'), ("a: b", '"a: b"'), ("<<", '"<<"'),
        ('say "hi"', 'say "hi"'), ("tab\there", '"tab\\there"'), (True, "true"), (None, "null"), (5.0, "5.0"), (-3, "-3"),
        ("${{ vars.x }}", '"${{ vars.x }}"'), ("猫，狗", "猫，狗"),
    ],
)  # fmt: skip
def test_a_scalar_in_brackets(value: object, written: str) -> None:
    assert scalar(value, flow=True) == written


def test_the_style_of_the_house() -> None:
    """Short maps on one line, an address plain, a long prompt folded within the width, nothing quoted without need."""
    prompt = " ".join(["Her steps are light, and the camera captures her every nimble moment."] * 5)
    document = {
        "wanspec": 1,
        "region": "singapore",
        "jobs": {
            "forest": {
                "model": "some-model",
                "input": {"prompt": prompt, "img_url": "https://example.com/a.png", "pictures": ["x" * 70, "y" * 70]},
                "parameters": {"resolution": "720P", "seed": 7, "ratio": "16:9", "tags": ["a", "b"], "empty": {}},
            },
            "short": {"model": "some-model", "input": {"prompt": "a cat"}},
        },
    }
    text = spec_text(document)
    assert load(text, "x")[0] == document
    assert text.splitlines()[:6] == [
        "wanspec: 1",
        "region: singapore",
        "jobs:",
        "  forest:",
        "    model: some-model",
        "    input:",
    ]
    assert "      prompt: >-\n        Her steps are light," in text
    assert '    parameters: {resolution: 720P, seed: 7, ratio: "16:9", tags: [a, b], empty: {}}\n' in text
    assert "      pictures:\n        - xxx" in text
    assert "    input: {prompt: a cat}\n" in text
    assert max(map(len, text.splitlines())) <= WIDTH
    assert formatted(text, "x")[0] == text


def test_a_prompt_of_several_paragraphs_keeps_them() -> None:
    document = {"prompt": "one " * 30 + "end\ntwo\n\nthree", "odd": "one  \n two " * 20}
    text = spec_text(document)
    assert "prompt: >-\n  one one" in text
    assert load(text, "x")[0] == document
