"""The strict reader against the standard library's, which is set to refuse what is ambiguous."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e91.delivery.etsi014.strict_json import object_in

NAMES = st.text(alphabet='ab:"\\{}[],', max_size=2)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a:"\\{}[],é\U0001f511'),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(NAMES, inner), max_size=3),
    max_leaves=10,
)


def written(value):
    """Return JSON in which a list of pairs stands for an object."""
    if isinstance(value, list) and value and all(isinstance(one, tuple) for one in value):
        return "{" + ",".join(f"{json.dumps(n)}:{written(v)}" for n, v in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def read_slowly(text):
    """Return the object by the standard library, or None if two members have one name."""

    class Twice(Exception):
        pass

    def members(pairs):
        if len(dict(pairs)) < len(pairs):
            raise Twice
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=members)
    except Twice:
        return None


@given(st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=4))
def test_two_members_of_one_name_are_found_wherever_they_stand(pairs):
    text = written(pairs)
    expected = read_slowly(text)
    if expected is None:
        with pytest.raises(ValueError, match="two members of one name"):
            object_in(text.encode())
    else:
        assert object_in(text.encode()) == expected


@given(st.binary(max_size=60))
def test_what_the_standard_library_refuses_is_refused(content):
    try:
        found = object_in(content)
    except ValueError:
        return
    assert found == (json.loads(content.decode()) if content else {})
