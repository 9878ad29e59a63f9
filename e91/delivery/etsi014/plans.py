"""From a request to a plan, or to a refusal: no socket, no clock, no key is touched.

The order in which a request is looked at is fixed, as what is answered first is seen from outside;
the text of ETSI GS QKD 014 V1.1.1 leaves it open.  Path and method (404, 405); whom the certificate
names (401); whether this KME serves it (401); its rate (503); size of the body (413); JSON, types
and unknown members (400); extensions (400); multiple of 8 (400); ranges (400); SAE IDs (400); the
pair (401).  What only the store can say comes after the plan: `answering`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from e91.delivery.etsi014.demands import check_supported, conditions_of, merged, possible
from e91.delivery.etsi014.refusals014 import (
    SIZE_IS_NO_MULTIPLE,
    Refused,
    bad_request,
    not_now,
    unauthorized,
)
from e91.delivery.etsi014.routes import MethodCall, called
from e91.delivery.etsi014.site import KeySite
from e91.delivery.etsi014.strict_json import object_in
from e91.delivery.http.exchange import HttpRequest
from e91.keys.key_blocks import KeyConditions

_MEMBERS_OF_GET_KEY = {
    "number",
    "size",
    "additional_slave_SAE_IDs",
    "extension_mandatory",
    "extension_optional",
}
_MEMBERS_OF_KEY_IDS = {"key_IDs", "key_IDs_extension"}
_MEMBERS_OF_KEY_ID = {"key_ID", "key_ID_extension"}
_MOST_DIGITS = 9  # of a number in a query
_UUID = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True)
class StatusPlan:
    """Tell how much key two SAEs have.

    Attributes:
        master: The caller.
        slave: The SAE in the path.
    """

    master: str
    slave: str


@dataclass(frozen=True)
class GivePlan:
    """Give new keys to a master.

    Attributes:
        master: The caller.
        slaves: Who may fetch them: the SAE in the path first.
        number: How many.
        size: Of each, bits.
        conditions: What the keys must meet.
        wishes: Optional extensions that are tried, by name.
        wished: What the keys must meet if the wishes are granted.
    """

    master: str
    slaves: tuple[str, ...]
    number: int
    size: int
    conditions: KeyConditions
    wishes: tuple[str, ...]
    wished: KeyConditions


@dataclass(frozen=True)
class FetchPlan:
    """Give a slave the keys that a master was given.

    Attributes:
        slave: The caller.
        master: The SAE in the path.
        key_ids: In the order of the request.
    """

    slave: str
    master: str
    key_ids: tuple[UUID, ...]


Plan = StatusPlan | GivePlan | FetchPlan


def unlimited(_: str) -> float:
    """Return how long a caller must wait where no rate is limited: not at all."""
    return 0.0


def plan_of(
    request: HttpRequest, site: KeySite, *, wait_s: Callable[[str], float] = unlimited
) -> Plan:
    """Return what a request asks for.

    Args:
        request: Whole, with whom its certificate names.
        site: The KME that was asked.
        wait_s: Called once with the caller; returns 0 and counts the request, or the seconds that
            the caller must wait.

    Raises:
        Refused: It cannot be fulfilled.
    """
    call = called(request.method, request.target)
    caller = request.peer.sae
    if caller is None or not site.serves(caller):
        raise unauthorized()
    seconds = wait_s(caller)
    if seconds > 0:
        raise not_now("too many requests", retry_after_s=seconds)
    if request.body is None:
        raise Refused(413, "the body is too large")
    match call.operation:
        case "status":
            return _status_plan(call, caller, site)
        case "enc_keys":
            return _give_plan(call, caller, site, request)
        case "dec_keys":
            return _fetch_plan(call, caller, site, request)


def _status_plan(call: MethodCall, caller: str, site: KeySite) -> StatusPlan:
    """Plan a status; a pair that is not allowed gets the answer of an unknown SAE, as no hint."""
    peer = call.peer
    _ = call.arguments  # there must be none
    if peer == caller:
        raise bad_request("the SAE ID in the path is that of the caller")
    if peer not in site.sae_kmes or not (site.allows(caller, peer) or site.allows(peer, caller)):
        raise bad_request("an SAE ID is unknown")
    return StatusPlan(caller, peer)


def _give_plan(call: MethodCall, caller: str, site: KeySite, request: HttpRequest) -> GivePlan:
    peer, limits = call.peer, site.limits
    asked = _posted(call, request) if call.is_post else _queried(call)
    _check_members(asked, _MEMBERS_OF_GET_KEY)
    number = _whole(asked, "number", otherwise=1)
    size = _whole(asked, "size", otherwise=limits.key_size)
    additional = _texts(asked, "additional_slave_SAE_IDs")
    mandatory, optional = _extension(asked, "mandatory"), _extension(asked, "optional")
    check_supported(mandatory)
    conditions, wishes = conditions_of(mandatory), possible(optional)
    if size % 8:
        raise bad_request(SIZE_IS_NO_MULTIPLE)
    _check_range(size, "size", limits.min_key_size, limits.max_key_size)
    _check_range(number, "number", 1, limits.max_key_per_request)
    if len(additional) > limits.max_sae_id_count:
        raise bad_request("additional_slave_SAE_IDs has more than max_SAE_ID_count entries")
    slaves = (peer, *additional)
    _check_slaves(slaves, caller, site)
    wished = conditions_of({**wishes, **mandatory}) if wishes else conditions
    return GivePlan(caller, slaves, number, size, conditions, tuple(wishes), wished)


def _extension(asked: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the names and values of one of the two extensions of a request."""
    member = f"extension_{kind}"
    return merged(_objects(asked, member), member=member) if member in asked else {}


def _check_slaves(slaves: tuple[str, ...], caller: str, site: KeySite) -> None:
    if caller in slaves:
        raise bad_request("the calling SAE is the master and cannot be a slave too")
    if len(set(slaves)) < len(slaves):
        raise bad_request("an SAE ID is repeated")
    if any(slave not in site.sae_kmes for slave in slaves):
        raise bad_request("an SAE ID is unknown")
    if not all(site.allows(caller, slave) for slave in slaves):
        raise unauthorized()


def _fetch_plan(call: MethodCall, caller: str, site: KeySite, request: HttpRequest) -> FetchPlan:
    peer = call.peer
    key_ids = _posted_ids(call, request) if call.is_post else _queried_id(call)
    if len(set(key_ids)) < len(key_ids):
        raise bad_request("a key_ID is repeated")
    if len(key_ids) > site.limits.max_key_per_request:
        raise bad_request("key_IDs has more than max_key_per_request entries")
    return FetchPlan(caller, peer, key_ids)


def _posted_ids(call: MethodCall, request: HttpRequest) -> tuple[UUID, ...]:
    asked = _posted(call, request)
    _check_members(asked, _MEMBERS_OF_KEY_IDS)
    entries = _objects(asked, "key_IDs")
    if not entries:
        raise bad_request("key_IDs must be an array that is not empty")
    _check_object(asked, "key_IDs_extension")
    for entry in entries:
        if len(entry) > 1:
            _check_members(entry, _MEMBERS_OF_KEY_ID)
            _check_object(entry, "key_ID_extension")
    return tuple([_key_id(entry.get("key_ID")) for entry in entries])


def _queried_id(call: MethodCall) -> tuple[UUID, ...]:
    return (_key_id(call.arguments.get("key_ID")),)


def _key_id(value: Any) -> UUID:
    """Return a key ID; capital letters are as good as small ones (RFC 9562, section 4)."""
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise bad_request("key_ID must be a UUID")
    return UUID(int=int(value.replace("-", ""), 16))


def _posted(call: MethodCall, request: HttpRequest) -> dict[str, Any]:
    """Return the object in the body of a POST."""
    _ = call.arguments  # there must be none
    kind = request.headers.get("content-type", "application/json").partition(";")[0]
    if request.body and kind.strip().lower() != "application/json":
        raise bad_request("the header content-type must be application/json")
    try:
        return object_in(request.body or b"")
    except ValueError as refusal:
        raise bad_request(str(refusal)) from None


def _queried(call: MethodCall) -> dict[str, Any]:
    """Return number and size of a GET as numbers."""
    found: dict[str, Any] = {}
    for name, digits in call.arguments.items():
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS):
            raise bad_request(f"{name} must be a whole number")
        found[name] = int(digits)
    return found


def _check_members(asked: Mapping[str, Any], known: set[str]) -> None:
    if not asked.keys() <= known:
        raise bad_request("the body has a member that is not known")


def _whole(asked: Mapping[str, Any], name: str, *, otherwise: int) -> int:
    """Return a whole number; 2.0 is one in JSON, true and "2" are none."""
    value = asked.get(name, otherwise)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad_request(f"{name} must be a whole number")
    return value


def _texts(asked: Mapping[str, Any], name: str) -> Sequence[str]:
    value = asked.get(name, [])
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise bad_request(f"{name} must be an array of strings")
    return value


def _objects(asked: Mapping[str, Any], name: str) -> Sequence[dict[str, Any]]:
    value = asked.get(name, [])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise bad_request(f"{name} must be an array of objects")
    return value


def _check_object(asked: Mapping[str, Any], name: str) -> None:
    if not isinstance(asked.get(name, {}), dict):
        raise bad_request(f"{name} must be an object")


def _check_range(value: int, name: str, low: int, high: int) -> None:
    if not low <= value <= high:
        raise bad_request(f"{name} must lie in {low} to {high}")
