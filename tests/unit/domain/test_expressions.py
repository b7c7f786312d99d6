import ast
import builtins
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.expressions import MOST_CHARACTERS, Inequality, bound_on, inequality

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}(\.[a-z][a-z0-9]{0,4}){0,2}", fullmatch=True)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)


def _is_name(text: str) -> bool:
    try:
        return isinstance(ast.parse(text, mode="eval").body, (ast.Name, ast.Attribute))
    except SyntaxError:
        return False  # a word of Python


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(NAMES.filter(_is_name), NUMBERS.filter(bool), min_size=1, max_size=5),
    st.sampled_from(["<=", ">="]),
    NUMBERS,
)
def test_a_linear_form_survives_as_text(coefficients, comparison, bound):
    left = " + ".join(f"{factor!r} * {name}" for name, factor in coefficients.items())
    read = inequality(f"{left} {comparison} {bound!r}")
    assert (read.coefficients, read.comparison, read.bound) == (coefficients, comparison, bound)


@pytest.mark.parametrize(
    ("text", "coefficients", "bound"),
    [
        ("residence_time * 30 + temperature <= 170", {"residence_time": 30, "temperature": 1}, 170),
        ("  a<=5  ", {"a": 1}, 5),
        ("a <= b", {"a": 1, "b": -1}, 0),
        ("2 * (a - 3) <= b / 4 - 1", {"a": 2, "b": -0.25}, 5),
        ("-(a + b) <= +1", {"a": -1, "b": -1}, 1),
        ("a + a + 1 <= 1e-3", {"a": 2}, 1e-3 - 1),
        ("stage.x - stage.y <= 2", {"stage.x": 1, "stage.y": -1}, 2),
        ("a - a + b <= 1", {"b": 1}, 1),
        ("10 <= 2 * a", {"a": -2}, -10),
    ],
)
def test_what_people_write(text, coefficients, bound):
    read = inequality(text)
    assert read.coefficients == coefficients
    assert read.bound == bound


@pytest.mark.parametrize(
    ("text", "holds"), [("a + b <= 3", True), ("a + b >= 3", True), ("a + b >= 3.0001", False)]
)
def test_the_bound_itself_is_allowed(text, holds):
    assert inequality(text).holds({"a": 1.0, "b": 2.0}) is holds


def test_nan_satisfies_nothing():
    assert not inequality("a <= 1").holds({"a": float("nan")})
    assert not inequality("a >= 1").holds({"a": float("nan")})


RUDE = {
    "__import__('os')": "exactly one",
    "__import__('os').system('touch x') <= 1": "neither a name nor a number",
    "__import__('os').name <= 1": "neither a name nor a number",
    "(1).real <= 1": "neither a name nor a number",
    "a() <= 1": "neither a name nor a number",
    "a[0] <= 1": "neither a name nor a number",
    "f'{a}' <= 1": "neither a name nor a number",
    "[a for a in b] <= 1": "neither a name nor a number",
    "(lambda: 0) <= 1": "neither a name nor a number",
    "(a := 3) <= 1": "neither a name nor a number",
    "a**2 <= 1": "neither a name nor a number",
    "a % 2 <= 1": "neither a name nor a number",
    "a <= True": "neither a name nor a number",
    "a <= 1j": "neither a name nor a number",
    "a <= 'b'": "neither a name nor a number",
    "a <= b <= c": "exactly one",
    "a if b else c": "exactly one",
    "a <= 1 and b <= 1": "exactly one",
    "not a <= 1": "exactly one",
    "a": "exactly one",
    "a < 1": "must compare with '<=' or '>='",
    "a == 1": "must compare with '<=' or '>='",
    "a in b": "must compare with '<=' or '>='",
    "a = 1": "is no inequality; write for example",
    "a <= ": "is no inequality",
    "": "is no inequality",
    "a <= 1; b <= 2": "is no inequality",
    "lambda <= 1": "is no inequality",
    "\0": "is no inequality",
    "a * b <= 1": "multiplies names",
    "1 / a <= 1": "divide by a number other than 0",
    "a / 0 <= 1": "divide by a number other than 0",
    "1 <= 2": "names nothing that can vary",
    "a - a <= 1": "names nothing that can vary",
    "a <= 1e999": "too large",
    "1e999 * a <= 1": "too large",
    "a / 1e-320 <= 1": "too large",
    "a <= " + "9" * 500: "is no inequality",
    "(" * 300 + "a" + ")" * 300 + " <= 1": "is no inequality",
    "a" + " + a" * 2500 + " <= 1": f"an inequality may have {MOST_CHARACTERS}",
    "1if a else b <= 3": "exactly one",
}


@pytest.mark.parametrize("text", RUDE, ids=lambda text: text[:30])
def test_everything_else_is_refused_in_words(text):
    with pytest.raises(ValueError, match=RUDE[text]) as error:
        inequality(text)
    assert len(str(error.value)) < 2 * MOST_CHARACTERS + 200


def test_reading_never_runs_code(monkeypatch):
    ran = []
    monkeypatch.setattr(builtins, "eval", ran.append)
    monkeypatch.setattr(builtins, "exec", ran.append)
    monkeypatch.setattr(builtins, "__import__", lambda *name, **_: ran.append(name))
    for text in ["__import__('os').x <= 1", "open('x') <= 1", "a <= exit()"]:
        with pytest.raises(ValueError, match="neither"):
            inequality(text)
    assert ran == []


@settings(deadline=None)
@given(st.text(alphabet="ab12.+-*/()<>= '\"[]{}:,if\n\t\\\0é", max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        read = inequality(text)
    except ValueError:
        return
    assert isinstance(read, Inequality)
    read.holds(dict.fromkeys(read.coefficients, 1.0))


def test_the_longest_inequality_that_is_read():
    text = "a" + "+a" * ((MOST_CHARACTERS - 4) // 2) + "<=1"
    assert inequality(text).coefficients == {"a": text.count("a")}


def test_the_value_of_the_left_side():
    rng = random.Random(0)
    rule = inequality("2 * a - b <= 0")
    for _ in range(100):
        a, b = rng.uniform(-9, 9), rng.uniform(-9, 9)
        assert rule.left({"a": a, "b": b}) == pytest.approx(2 * a - b)
        assert rule.holds({"a": a, "b": b}) is (2 * a - b <= 0)


@pytest.mark.parametrize(
    ("text", "comparison", "bound"),
    [(">= 11400", ">=", 11400), ("<=-1e3", "<=", -1000), (" >= 0.5 ", ">=", 0.5)],
)
def test_a_bound(text, comparison, bound):
    assert bound_on("sty", text) == Inequality({"sty": 1.0}, comparison, bound, f"sty {text}")


@pytest.mark.parametrize(
    "text", ["11400", ">", "> 5", "== 5", "", ">= ", ">= other", ">= 1 <= 2", ">= inf", ">= nan"]
)
def test_what_is_no_bound(text):
    with pytest.raises(ValueError, match=r"for example '>= 10'"):
        bound_on("sty", text)
