"""Typed TOML and JSON: what fits is returned, and each fault is a sentence with its place."""

import json
import os
import re
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Generic, Literal, TypeVar

import pytest
from msgspec import Meta, field

from e91.system.documents import (
    MOST_DEPTH,
    Document,
    Finite,
    Text,
    parse_json,
    parse_toml,
    read_json,
    read_toml,
    typed,
)

Number = TypeVar("Number")

AGES = {"must": "be a list of ages"}
Ages = Annotated[list[int], Meta(extra=AGES)]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Stated(Document, Generic[Number]):
    value: Number
    source: Text = "nowhere"


class Part(Document):
    unit: Literal["m", "s"]
    size: Finite

    def __post_init__(self):
        if self.unit == "s" and self.size < 0:
            raise ValueError(f"`size` must not be negative for a time, but is {self.size:g}.")


class Lamp(Document):
    title: Text
    visibility: Stated[Annotated[float, Meta(ge=0, le=1)]] | None = None
    rounds: Annotated[int, Meta(ge=1, le=10)] = 1
    least: Annotated[int, Meta(ge=2)] = 2
    open: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    colour: Colour = Colour.RED
    lit: bool = True
    parts: Annotated[tuple[Part, ...], Meta(min_length=1)] | None = None
    pairs: tuple[tuple[int, int], ...] = ()
    named: dict[str, Part] = field(default_factory=dict)
    even: Annotated[int, Meta(multiple_of=2, extra={"must": "be even"})] = 0


def test_what_fits_is_a_record():
    text = """
    title = "A lamp"
    visibility = { value = 1 }
    colour = "blue"
    parts = [{ unit = "s", size = 1.5 }]
    pairs = [[1, 2]]
    """
    lamp = parse_toml(text, Lamp, where="lamp")
    assert lamp.visibility == Stated(value=1.0)
    assert lamp.colour is Colour.BLUE
    assert lamp.parts == (Part(unit="s", size=1.5),)
    assert lamp.pairs == ((1, 2),)


PART = {"unit": "m", "size": 1.0}
FAULTS = [
    ({"title": " "}, "`title` must be a text that is not empty, but is ' '."),
    ({"title": 3}, "`title` must be a text that is not empty, but is 3."),
    ({"title": None}, "`title` must be a text that is not empty, but is None."),
    ({"titel": 3}, "Every key must be a documented one, but `titel` is not; did you mean `title`?"),
    ({"zzz": 3}, "Every key must be a documented one, but `zzz` is not."),
    ({"visibility": 1}, "`visibility` must be a table with value, but is 1."),
    ({"visibility": {}}, "`visibility.value` must be a finite number, but is missing."),
    ({"visibility": {"value": 2}}, "`visibility.value` must lie in [0, 1], but is 2."),
    ({"visibility": {"value": "2"}}, "`visibility.value` must be a finite number, but is '2'."),
    ({"visibility": {"value": True}}, "`visibility.value` must be a finite number, but is True."),
    ({"visibility": {"value": float("nan")}}, "must be a finite number, but is nan."),
    ({"visibility": {"value": 10**400}}, "must be a finite number, but is a number of too many"),
    ({"visibility": {"valeu": 2}}, "`visibility.valeu` is not; did you mean `visibility.value`?"),
    ({"rounds": 0}, "`rounds` must lie in [1, 10], but is 0."),
    ({"rounds": 1.5}, "`rounds` must be a whole number, but is 1.5."),
    ({"rounds": True}, "`rounds` must be a whole number, but is True."),
    ({"least": 1}, "`least` must be at least 2, but is 1."),
    ({"open": 1}, "`open` must lie in (0, 1), but is 1."),
    ({"colour": "bleu"}, "`colour` must be one of red, blue, but is 'bleu'."),
    ({"colour": 1}, "`colour` must be one of red, blue, but is 1."),
    ({"lit": 1}, "`lit` must be true or false, but is 1."),
    ({"parts": []}, "`parts` must be a list that is not empty, but is []."),
    ({"parts": {}}, "`parts` must be a list that is not empty, but is {}."),
    ({"parts": [PART, PART | {"unit": "kg"}]}, "`parts[1].unit` must be one of m, s, but is 'kg'."),
    ({"parts": [PART, {"unit": "m"}]}, "`parts[1].size` must be a finite number, but is missing."),
    ({"parts": [{"unit": "s", "size": -1}]}, "`parts[0].size` must not be negative for a time, b"),
    ({"pairs": [[1, 2], [1, 2, 3]]}, "`pairs[1]` must be a list of 2, but is [1, 2, 3]."),
    ({"pairs": [[1, "x"]]}, "`pairs[0][1]` must be a whole number, but is 'x'."),
    ({"named": {"a": PART, "b": PART | {"size": "x"}}}, "`named.b.size` must be a finite number"),
    ({"named": {"a": PART, "b": 3}}, "`named.b` must be a table with unit, size, but is 3."),
    ({"even": 3}, "`even` must be even, but is 3."),
    ({"title": "x" * 500, "rounds": "y" * 500}, f"but is '{'y' * 59}...."),
]


@pytest.mark.parametrize(("change", "sentence"), FAULTS, ids=lambda value: str(value)[:30])
def test_a_fault_is_one_sentence_with_its_place(change, sentence):
    content = {"title": "A lamp"} | change
    with pytest.raises(ValueError) as refusal:
        typed(content, Lamp, where="lamp.toml")
    assert str(refusal.value).startswith("In `lamp.toml`: ")
    assert sentence in str(refusal.value)
    assert content == {"title": "A lamp"} | change


def test_a_file_says_its_name_first(tmp_path):
    file = tmp_path / "lamp.toml"
    file.write_text("title = 3")
    with pytest.raises(ValueError, match=rf"^In `{file}`: `title` must be a text"):
        read_toml(file, Lamp)
    file.write_text('{"title": "A lamp", "rounds": 11}')
    with pytest.raises(ValueError, match=r"`rounds` must lie in \[1, 10\], but is 11\."):
        read_json(file, Lamp)


@pytest.mark.parametrize(
    ("parse", "text", "sentence"),
    [
        (parse_toml, "title = [", "`x` must be a TOML file, but: "),
        (parse_toml, b"title = '\xff'", "`x` must be UTF-8 text, but is not."),
        (parse_toml, "a = " + "1" * 5000, "`x` must be a TOML file, but: "),
        (parse_json, "{", "`x` must be a JSON file, but: "),
        (parse_json, b"\xff", "`x` must be UTF-8 text, but is not."),
        (parse_json, r'{"title": "\ud800"}', "`x` must be UTF-8 text, but is not."),
        (parse_json, "[1]", "`x` must hold one JSON object, but does not."),
    ],
)
def test_text_of_another_format_is_a_sentence(parse, text, sentence):
    with pytest.raises(ValueError) as refusal:
        parse(text, Lamp, where="x")
    assert str(refusal.value).startswith(sentence)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize("depth", [MOST_DEPTH + 2, 100_000])
@pytest.mark.parametrize(
    ("parse", "opening", "closing"),
    [
        (parse_toml, "a = " + "[" * 100_000, ""),
        (parse_toml, "title = 1\nnamed", ".a = 1"),
        (parse_json, '{"title": [', "]}"),
    ],
)
def test_deep_nesting_is_a_sentence(parse, opening, closing, depth):
    inside = {"]}": "[" * depth + "]" * depth, "": ""}.get(closing, ".a" * min(depth, 3000))
    with pytest.raises(ValueError, match=f"must be nested at most {MOST_DEPTH} deep, but is deep"):
        parse(opening + inside + closing, Lamp, where="x")


@pytest.mark.parametrize(
    "text",
    [
        ".".join("a" * 1_000) + " = 1",
        "[" + " . ".join("a" * 1_000) + "]",
        "x = {" + ".".join(['"b c"'] * 1_000) + " = 1}",
        ".".join("a" * 200_000) + " = 1",  # the decoder would take minutes
    ],
)
def test_long_dotted_key_is_a_sentence_at_once(text):
    with pytest.raises(ValueError, match="must be nested at most 32 deep, but is deeper"):
        parse_toml(text, dict, where="long.toml")


def test_long_text_without_dots_is_read_at_once():
    text = 'a = "' + "x" * 900_000 + '"\nb.c.d = 1.5\n' + "e = [" + "1.5, " * 1_000 + "]\n"
    assert parse_toml(text, dict, where="long.toml")["b"] == {"c": {"d": 1.5}}


def test_large_or_odd_files_are_refused_before_they_are_read(tmp_path):
    file = tmp_path / "large.toml"
    file.write_bytes(b"#" * 1001)
    with pytest.raises(ValueError, match="must have at most 1,000 bytes, but has more"):
        read_toml(file, Lamp, most_bytes=1000)
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(ValueError, match="but is no regular file"):
        read_json(tmp_path / "pipe.json", Lamp)
    with pytest.raises(ValueError, match="but no such file or directory"):
        read_json(tmp_path / "missing.json", Lamp)


@pytest.mark.parametrize(
    "content",
    [
        {"title": "x", "colour": "s3cret"},
        {"title": "x", "s3cret": 1},
        {"title": ["s3cret"]},
        {"title": "x", "named": {"a": {"unit": "s3cret", "size": 1}}},
    ],
)
def test_what_is_secret_is_in_no_sentence_and_no_chain(content):
    with pytest.raises(ValueError) as refusal:
        parse_json(json.dumps(content), Lamp, where="", secret=True)
    assert "s3cret" not in str(refusal.value)
    assert refusal.value.__context__ is None
    with pytest.raises(ValueError) as refusal:
        parse_json(json.dumps(content)[:-1], Lamp, where="", secret=True)
    assert str(refusal.value) == "It must hold one JSON object, but does not."
    assert refusal.value.__context__ is None


def test_a_value_by_itself_is_called_by_its_key():
    with pytest.raises(ValueError, match=r"^`sweep\[0\]\[1\]` must be a whole number, but is 'x'"):
        typed([1, "x"], list[int], key="sweep[0]")
    with pytest.raises(ValueError, match="must be a finite number, or be none, but is 'x'"):
        typed("x", Annotated[float, Meta(ge=0, le=1)] | Literal["none"], key="strength")


@dataclass
class Point:
    x: int
    y: int = 0


@pytest.mark.parametrize(
    ("content", "shape", "sentence"),
    [
        ([1, "up"], Ages, "`it[1]` must be a whole number, but is 'up'."),
        ("up", Ages, "`it` must be a list of ages, but is 'up'."),
        ([], Annotated[list[int], Meta(min_length=1)] | None, "`it` must be a list that is not"),
        ({"a": [1, "up"]}, dict[str, Ages], "`it.a[1]` must be a whole number, but is 'up'."),
        ({"a": "up"}, Annotated[dict[str, int], Meta(extra=AGES)], "`it.a` must be a whole"),
        (3, Point, "`it` must be a table with x, but is 3."),
        ({"x": "up"}, Point, "`it.x` must be a whole number, but is 'up'."),
        ({}, Point, "`it.x` must be a whole number, but is missing."),
    ],
)
def test_lists_that_word_their_demand_and_dataclasses_name_the_place(content, shape, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        typed(content, shape, key="it")


def test_a_dataclass_may_be_given_keys_that_it_does_not_know():
    assert typed({"x": 1, "z": 2}, Point) == Point(1)
    with pytest.raises(ValueError, match=r"^`y` must be a whole number, but is 'up'\.$"):
        typed({"x": 1, "y": "up", "z": 2}, Point)


class Bulb(Document, frozen=True):
    watts: float


class House(Document, frozen=True):
    bulbs: dict[str, Bulb]
    doors: dict[str, int]


def test_a_table_is_named_for_its_own_fault_though_another_part_is_wrong_too():
    for wrong, words in (
        ("b = {}", "`bulbs.b.watts` must be a finite number, but is missing."),
        ("b = 3", "`bulbs.b` must be a table with watts, but is 3."),
        ("b = {watts = 'x'}", "`bulbs.b.watts` must be a finite number, but is 'x'."),
    ):
        text = f"[bulbs]\na = {{watts = 1}}\n{wrong}\n[doors]\nfront = 'open'"
        with pytest.raises(ValueError, match=re.escape(f"In `house.toml`: {words}")):
            parse_toml(text, House, where="house.toml")
