"""A look at a server of keys from outside: every clause of ETSI GS QKD 014 V1.1.1 that shows.

Clause numbers and sentences are of that text; its wording is repeated only where it prescribes a
message.  What the text says with *shall* and a server breaks is FAIL, what it advises or leaves to
be read in two ways is NOTE, what it does not speak of is INFO.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from e91.delivery.https_client import ClientFiles, HttpsClient, client_context, place_of
from e91.delivery.identities import CertifiedRole, identity
from e91.delivery.probing.bench import Application, Bench, ProbeClause
from e91.delivery.probing.closing_clauses import CLOSING
from e91.delivery.probing.fetching_clauses import FETCHING
from e91.delivery.probing.giving_clauses import GIVING
from e91.delivery.probing.status_clauses import STATUS
from e91.delivery.probing.transport_clauses import TRANSPORT
from e91.delivery.probing.verdicts import (
    NotTestable,
    Observation,
    ProbeReport,
    ProbeRow,
    ProbeVerdict,
    failed,
)
from e91.model.errors import DeliveryFailed

CLAUSES = (*TRANSPORT, *STATUS, *GIVING, *FETCHING, *CLOSING)
"""Every clause that is looked at, in order."""

_LONGEST_WORDS = 600  # characters that a row shows of what was seen


@dataclass(frozen=True)
class ProbePlan:
    """Who probes what.

    Attributes:
        url: The server of the master: ``https://HOST:PORT``.
        certificate: Of the SAE that asks for new keys, PEM.
        private_key: Of that certificate; None if it is in the same file.
        ca: The authorities of servers, PEM.
        peer_certificate: Of the SAE that fetches them; None: what needs it is not tested.
        peer_private_key: Of that certificate.
        peer_url: The server of the peer; the same one by default.
        third_certificate: Of an SAE that has no right to them; None: the same.
        third_private_key: Of that certificate.
        third_url: The server of the third; the peer's by default.
        names: SAE IDs of master, peer and third where certificates do not say them.
        must_refuse: Certificates that the server must refuse: ended, or revoked.
        consume: Whether keys may be taken.
        drain: Whether the pool may be emptied.
        timeout_s: For every wait, seconds.
        slow_body_s: How long an unfinished body is left lying, seconds; 0: that is not tested.

    Examples:
        >>> plan = ProbePlan(
        ...     "https://127.0.0.1:8443", Path("sae.crt"), Path("ca.crt"), consume=False
        ... )
        >>> keys_needed(plan)
        0
    """

    url: str
    certificate: Path
    ca: Path
    private_key: Path | None = None
    peer_certificate: Path | None = None
    peer_private_key: Path | None = None
    peer_url: str | None = None
    third_certificate: Path | None = None
    third_private_key: Path | None = None
    third_url: str | None = None
    names: tuple[str | None, str | None, str | None] = (None, None, None)
    must_refuse: tuple[tuple[Path, Path | None], ...] = ()
    consume: bool = True
    drain: bool = False
    timeout_s: float = 10.0
    slow_body_s: float = 0.0


def keys_needed(plan: ProbePlan) -> int:
    """Return how many keys a probe takes at most, if it does not empty the pool."""
    return sum(clause.keys for clause in CLAUSES) if plan.consume else 0


def probe(
    plan: ProbePlan,
    *,
    clauses: Sequence[ProbeClause] = CLAUSES,
    reached: Callable[[], None] = lambda: None,
    seen: Callable[[ProbeRow], None] = lambda _: None,
) -> ProbeReport:
    """Look at a server and return what was seen of every clause.

    It takes keys, unless the plan says that none may be taken.

    Args:
        plan: Who probes what.
        clauses: Which clauses to look at; all by default.
        reached: Called when the server is reached, before any key is taken.
        seen: Called with every row when it is there.

    Returns:
        A row for every clause.

    Raises:
        ValueError: A URL or a file is not what it should be, or no SAE ID is known.
        DeliveryFailed: The server cannot be reached at all.

    Source:
        ETSI GS QKD 014 V1.1.1; every row names its clause.

    Examples:
        A probe needs a server, so only a refusal is shown:

        >>> probe(ProbePlan("http://127.0.0.1", Path("sae.crt"), Path("ca.crt")))
        Traceback (most recent call last):
        ValueError: `url` must be https://HOST:PORT, but is `http://127.0.0.1`.
    """
    bench = bench_of(plan)
    try:
        bench.master.https.connect()
        reached()
        rows = []
        for clause in clauses:
            row = _row(clause, bench, consume=plan.consume)
            seen(row)
            rows.append(row)
    finally:
        for who in (bench.master, bench.peer, bench.third):
            if who is not None:
                who.https.close()
    return ProbeReport(plan.url, tuple(rows), len(bench.key_ids))


def bench_of(plan: ProbePlan) -> Bench:
    """Return the bench of a plan; nothing is connected yet.

    Raises:
        ValueError: A URL or a file is not what it should be, or no SAE ID is known.
    """
    peer_url = plan.peer_url or plan.url
    third_url = plan.third_url or peer_url
    master, peer, third = plan.names
    return Bench(
        place_of(plan.url),
        _application(plan, plan.url, (plan.certificate, plan.private_key), (master, "sae")),
        _guest(plan, peer_url, (plan.peer_certificate, plan.peer_private_key), (peer, "peer_sae")),
        _guest(
            plan, third_url, (plan.third_certificate, plan.third_private_key), (third, "third_sae")
        ),
        plan.ca,
        plan.timeout_s,
        peer,
        tuple(ClientFiles(file, key, plan.ca) for file, key in plan.must_refuse),
        plan.drain,
        plan.slow_body_s,
    )


def _guest(
    plan: ProbePlan,
    url: str,
    files: tuple[Path | None, Path | None],
    name: tuple[str | None, str],
) -> Application | None:
    """Return an application that need not be there."""
    certificate, key = files
    return None if certificate is None else _application(plan, url, (certificate, key), name)


def _application(
    plan: ProbePlan, url: str, files: tuple[Path, Path | None], name: tuple[str | None, str]
) -> Application:
    """Return an application, named as the plan says, or else as its certificate does."""
    known, option = name
    tls = ClientFiles(*files, plan.ca)
    https = HttpsClient(place_of(url), client_context(tls), plan.timeout_s)
    return Application(known or _name_in(tls.certificate, option), tls, https)


def _name_in(file: Path, option: str) -> str:
    """Return the SAE ID that a certificate names: our URI, or else its common name.

    Raises:
        ValueError: It names none.
    """
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    from e91.delivery.authority import read_certificate

    certificate = read_certificate(file)
    kind = x509.SubjectAlternativeName
    try:
        names = certificate.extensions.get_extension_for_class(kind).value
        return identity(
            names.get_values_for_type(x509.UniformResourceIdentifier), CertifiedRole.SAE
        )
    except (ValueError, x509.ExtensionNotFound):
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not common:
        raise ValueError(f"`{option}` must be given, as `{file}` names no SAE.")
    return str(common[0].value)


def _row(clause: ProbeClause, bench: Bench, *, consume: bool) -> ProbeRow:
    """Look at one clause."""
    found = _observed(clause, bench, consume=consume)
    return ProbeRow(clause.name, clause.clause, clause.demand, found.verdict, _safe(found.words))


def _safe(words: str) -> str:
    r"""Return words for a terminal: what a server has sent may hold its control characters.

    Examples:
        >>> _safe("source_KME_ID is \x1b[2J")
        'source_KME_ID is ?[2J'
    """
    printable = "".join(letter if letter.isprintable() else "?" for letter in words)
    longest = _LONGEST_WORDS
    return printable if len(printable) <= longest else f"{printable[:longest]}..."


def _observed(clause: ProbeClause, bench: Bench, *, consume: bool) -> Observation:
    """Return what is seen of a clause; a connection that breaks off is a failure."""
    if clause.keys and not consume:
        return Observation(ProbeVerdict.NOT_TESTED, "would take keys")
    try:
        return clause.look(bench)
    except NotTestable as reason:
        return Observation(ProbeVerdict.NOT_TESTED, str(reason))
    except DeliveryFailed as error:
        return failed(f"no answer: {str(error).partition('but ')[2] or error}")
