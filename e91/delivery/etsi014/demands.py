"""Extensions that a request may demand of its keys, and the conditions that they become.

Names with the vendor prefix ``e91_``, as clause 6.2 of ETSI GS QKD 014 V1.1.1 leaves them to
vendors:

* ``e91_min_model``: the weakest security model that will do.
* ``e91_max_epsilon``: the largest failure probability, 0 to 1.
* ``e91_route_type``: ``link`` for keys that no relay knew, ``relayed`` for others.
* ``e91_disjoint_paths``: the least number of paths without a common relay, from 1.
* ``e91_max_age``: the largest age, seconds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from e91.delivery.etsi014.refusals014 import (
    MANDATORY_NOT_MET,
    MANDATORY_NOT_SUPPORTED,
    Refused,
    bad_request,
)
from e91.keys.key_blocks import KeyConditions
from e91.model.trust import SecurityModel

_LONGEST_SHOWN = 60  # characters of an unknown name that the details repeat


def _model(value: Any) -> SecurityModel:
    return SecurityModel(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    return float(value)


def _whole(value: Any) -> int:
    number = _number(value)
    if not number.is_integer():
        raise ValueError
    return int(number)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


_DEMANDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "e91_min_model": ("min_model", _model),
    "e91_max_epsilon": ("max_epsilon", _number),
    "e91_route_type": ("route_type", _text),
    "e91_disjoint_paths": ("disjoint_paths", _whole),
    "e91_max_age": ("max_age_s", _number),
}

NO_CONDITIONS = KeyConditions()
"""What is met by any key."""

NAMES = tuple(_DEMANDS)
"""Of the extensions that this KME supports."""


def merged(objects: Sequence[Mapping[str, Any]], *, member: str) -> dict[str, Any]:
    """Return the members of all objects of an extension as one.

    Raises:
        Refused: One name stands in two of them.
    """
    found: dict[str, Any] = {}
    for one in objects:
        if found.keys() & one.keys():
            raise bad_request(f"{member} has one name twice")
        found |= one
    return found


def check_supported(mandatory: Mapping[str, Any]) -> None:
    """Refuse names that this KME does not know; the details have all of them.

    Raises:
        Refused: There is one.
    """
    unknown = [name[:_LONGEST_SHOWN] for name in mandatory if name not in _DEMANDS]
    if unknown:
        details = tuple(
            {"extension_mandatory_unsupported": f"{name} is not supported"} for name in unknown
        )
        raise Refused(400, MANDATORY_NOT_SUPPORTED, details=details)


def conditions_of(demands: Mapping[str, Any]) -> KeyConditions:
    """Return what supported extensions demand.

    Raises:
        Refused: A value is none that its name can have.

    Examples:
        >>> conditions_of({"e91_disjoint_paths": 2}).disjoint_paths
        2
    """
    conditions = NO_CONDITIONS
    for name, value in demands.items():
        field, read = _DEMANDS[name]
        try:
            conditions = replace(conditions, **{field: read(value)})
        except (ValueError, OverflowError):
            details = ({"extension_mandatory_unmet": f"{name} cannot have this value"},)
            raise Refused(400, MANDATORY_NOT_MET, details=details) from None
    return conditions


def possible(wishes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the optional extensions that can be tried: known names with possible values."""
    found: dict[str, Any] = {}
    for name, value in wishes.items():
        if name in _DEMANDS:
            try:
                conditions_of({name: value})
            except Refused:
                continue
            found[name] = value
    return found
