"""Expressions: look-ups in a scope, with types kept, escapes, and messages that say what is there instead."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wanspec.spec.expression import ExpressionError, has_expression, resolve

SCOPE: dict[str, Any] = {
    "vars": {
        "tail": "soft light", "empty": "", "seed": 7, "half": 0.5, "yes": True, "no": False, "none": None,
        "list": ["a", 2, ["x", "y"]], "map": {"a": {"b": {"c": "deep"}}}, "in-dash": "dash", "in_line": "line",
        "1": "digit", "über": "umlaut", "猫": "cat", "dollar": "$5", "looks": "${{ vars.tail }}", "braces": "}} {{",
    },
    "spec": {"name": "bakeoff"},
    "job": {"id": "hero", "slug": "hero"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${{ vars.tail }}", "soft light"), ("${{vars.tail}}", "soft light"), ("${{\n  vars.tail\t}}", "soft light"),
        ("${{ vars.empty }}", ""), ("${{ vars.seed }}", 7), ("${{ vars.half }}", 0.5), ("${{ vars.yes }}", True),
        ("${{ vars.no }}", False), ("${{ vars.none }}", None), ("${{ vars.list }}", ["a", 2, ["x", "y"]]),
        ("${{ vars.list[0] }}", "a"), ("${{ vars.list[1] }}", 2), ("${{ vars.list[2][1] }}", "y"),
        ("${{ vars.map }}", {"a": {"b": {"c": "deep"}}}), ("${{ vars.map.a.b }}", {"c": "deep"}),
        ("${{ vars.map.a.b.c }}", "deep"), ("${{ vars.in-dash }}", "dash"), ("${{ vars.in_line }}", "line"),
        ("${{ vars.1 }}", "digit"), ("${{ vars.über }}", "umlaut"), ("${{ vars.猫 }}", "cat"),
        ("${{ spec.name }}", "bakeoff"), ("${{ job }}", {"id": "hero", "slug": "hero"}),
        # a value is not read again
        ("${{ vars.dollar }}", "$5"), ("${{ vars.looks }}", "${{ vars.tail }}"), ("${{ vars.braces }}", "}} {{"),
    ],
)  # fmt: skip
def test_a_whole_expression_keeps_the_type(text: str, value: Any) -> None:
    """A text that is one expression is the value itself."""
    found = resolve(text, SCOPE)
    assert type(found) is type(value)
    assert found == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a cat, ${{ vars.tail }}", "a cat, soft light"), (" ${{ vars.seed }}", " 7"), ("${{ vars.seed }} ", "7 "),
        ("${{ vars.seed }}${{ vars.seed }}", "77"), ("${{ vars.half }} s", "0.5 s"), ("is ${{ vars.yes }}", "is true"),
        ("is ${{ vars.no }}", "is false"), ("is ${{ vars.none }}.", "is ."), ("<${{ vars.empty }}>", "<>"),
        ("${{ spec.name }}/${{ job.slug }}.mp4", "bakeoff/hero.mp4"), ("${{ vars.list[0] }}, ${{ vars.list[1] }}", "a, 2"),
        ("猫${{ vars.猫 }}猫", "猫cat猫"), ("a\n${{ vars.tail }}\nb", "a\nsoft light\nb"),
        ("x ${{ vars.looks }}", "x ${{ vars.tail }}"), ("x ${{ vars.braces }}", "x }} {{"),
        # what is no expression stays
        ("", ""), ("a cat", "a cat"), ("${ vars.tail }", "${ vars.tail }"), ("{{ vars.tail }}", "{{ vars.tail }}"),
        ("$5 }} {{ $", "$5 }} {{ $"), ("$ {{ vars.tail }}", "$ {{ vars.tail }}"),
        # braces behind an expression are text
        ("${{ vars.tail }} }}", "soft light }}"), ("${{ vars.tail }} {{x}}", "soft light {{x}}"),
        ("{{ ${{ vars.seed }} }}", "{{ 7 }}"),
    ],
)  # fmt: skip
def test_an_expression_inside_a_text(text: str, value: str) -> None:
    """Inside a text values are written out as YAML would write them; the rest of the text stays as it is."""
    assert resolve(text, SCOPE) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$${{ vars.tail }}", "${{ vars.tail }}"), ("costs $${{ price }}", "costs ${{ price }}"),
        ("$${{ a }} ${{ vars.seed }}", "${{ a }} 7"), ("${{ vars.seed }} $${{ a }}", "7 ${{ a }}"),
        ("$${{ a }}$${{ b }}", "${{ a }}${{ b }}"), ("$$${{ a }}", "$${{ a }}"), ("$${{}}", "${{}}"),
        ("$${{ open", "${{ open"), ("$${{ open ${{ vars.seed }}", "${{ open 7"), ("${{ vars.seed }} $${{", "7 ${{"),
        ("5$$ $", "5$$ $"),
    ],
)  # fmt: skip
def test_an_escape_is_a_literal(text: str, value: str) -> None:
    """`$${{` is a literal `${{`, whatever comes behind it."""
    assert resolve(text, SCOPE) == value


@pytest.mark.parametrize(
    ("text", "message", "part_of_help"),
    [
        ("${{ vars.tial }}", "tial is not known in vars", "did you mean tail?"),
        ("x ${{ vars.tial }}", "tial is not known in vars", "did you mean tail?"),
        ("${{ vars.TAIL }}", "TAIL is not known in vars", "did you mean tail?"),
        ("${{ var.tail }}", "var is not known", "did you mean vars?"),
        ("${{ jbo.id }}", "jbo is not known", "did you mean job?"),
        ("${{ tail }}", "tail is not known", "there is vars, spec, job"),
        ("${{ spec.title }}", "title is not known in spec", "there is name"),
        ("${{ vars.map.a.x }}", "x is not known in vars.map.a", "there is b"),
        ("${{ vars.map.x.b }}", "x is not known in vars.map", "there is a"),
        ("${{ vars.tail.x }}", "x is not known in vars.tail", "vars.tail"),
        ("${{ vars.none.x }}", "x is not known in vars.none", "vars.none"),
        ("${{ vars.list[3] }}", "vars.list has no entry 3", "3"),
        ("${{ vars.list[2][2] }}", "vars.list[2] has no entry 2", "2"),
        ("${{ vars.tail[0] }}", "vars.tail has no entry 0", "vars.tail"),
        ("${{ vars[0] }}", "vars has no entry 0", "vars"),
        (
            "a ${{ vars.list }}",
            "a list or map cannot stand inside a text",
            "alone",
        ),
        (
            "a ${{ vars.map }}",
            "a list or map cannot stand inside a text",
            "alone",
        ),
    ],
)
def test_a_name_that_is_not_there(text: str, message: str, part_of_help: str) -> None:
    """The message names the first step that fails and where it was looked for; the help says what is there."""
    with pytest.raises(ExpressionError) as caught:
        resolve(text, SCOPE)
    assert str(caught.value) == message
    assert part_of_help in caught.value.help


@pytest.mark.parametrize(
    "inner",
    [
        "", " ", "1", "1 + 1", "vars.tail | upper", "vars['tail']", 'vars["tail"]', "vars.", ".tail", "vars..tail", "vars tail",
        "vars.list[]", "vars.list[-1]", "vars.list[x]", "vars.list[0", "[0]", "f(vars.tail)", "'text'", "$vars", "vars.a b",
        "vars.list[0:1]", "a ? b : c", "not vars.yes", "vars.tail == 1", "{}",
    ],
)  # fmt: skip
def test_what_is_no_name(inner: str) -> None:
    """Expressions look up and do nothing else: no arithmetic, no filters, no slices."""
    for text in (f"${{{{ {inner} }}}}", f"a ${{{{ {inner} }}}} b"):
        with pytest.raises(ExpressionError, match="is not a name") as caught:
            resolve(text, SCOPE)
        assert caught.value.help


@pytest.mark.parametrize(
    "text",
    [
        "${{", "${{ ", "${{ vars.tail", "a ${{ vars.tail", "${{ vars.tail }", "${{ vars.tail } }", "${{ a ${{ vars.tail }}",
        "${{ vars.tail }} ${{", "${{ vars.tail ${{ vars.tail }} }}", "$${{ a }} ${{ b",
    ],
)  # fmt: skip
def test_an_open_expression(text: str) -> None:
    """An expression without its end is named as such, and never swallows what follows."""
    with pytest.raises(ExpressionError, match="an expression is not closed") as caught:
        resolve(text, SCOPE)
    assert caught.value.help


@pytest.mark.parametrize(
    ("text", "has"), [("${{ a }}", True), ("a ${{", True), ("$${{ a }}", True), ("${ a }", False), ("", False)]
)
def test_has_expression(text: str, has: bool) -> None:
    """Whether a text has to be looked at at all; escapes have to."""
    assert has_expression(text) is has


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,6}", fullmatch=True)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
fixed = settings(derandomize=True, deadline=None, max_examples=150)


@fixed
@given(st.lists(names | st.integers(0, 3), min_size=1, max_size=5), leaves)
def test_every_path_is_found(path: list[str | int], leaf: Any) -> None:
    """Whatever is in the scope is found under its path, and is the very same value."""
    value: Any = leaf
    for step in reversed(path):
        value = {step: value} if isinstance(step, str) else [None] * step + [value]
    name = "root" + "".join(f".{step}" if isinstance(step, str) else f"[{step}]" for step in path)
    assert resolve(f"${{{{ {name} }}}}", {"root": value}) is leaf


@fixed
@given(
    st.text(max_size=30)
    | st.lists(st.sampled_from(["${{", "}}", "$", "{", "}", " ", "vars", ".tail", "a"])).map("".join)
)
def test_any_text_is_resolved_or_refused(text: str) -> None:
    """Whatever the text: a value, or an ExpressionError with a message of one line; without `${{` it is the text."""
    try:
        found = resolve(text, SCOPE)
    except ExpressionError as error:
        assert has_expression(text)
        assert str(error)
        assert "\n" not in str(error)
    else:
        assert has_expression(text) or found == text


@fixed
@given(st.text(max_size=30))
def test_any_text_can_be_escaped(text: str) -> None:
    """With `$` before every `${{` any text stands for itself."""
    assert resolve(text.replace("${{", "$${{"), SCOPE) == text
    assert resolve("$${{ " + text.replace("${{", ""), {}) == "${{ " + text.replace("${{", "")
