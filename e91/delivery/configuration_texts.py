"""The text of configurations: as `e91 kme init` writes it, and with members that come later."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from e91.delivery.configuration import ServiceTables
from e91.delivery.identities import CertifiedRole
from e91.delivery.members import AuthorityPlan, KmePlace, SaePlace, file_stem, link_place
from e91.system.documents import parse_toml


def configurations_of(plan: AuthorityPlan) -> dict[str, str]:
    """Return the configurations of a plan, by the names of their files.

    Examples:
        >>> kmes = KmePlace("alice", "a.example", 8443), KmePlace("bob", "b.example", 8443)
        >>> list(configurations_of(AuthorityPlan(kmes, ())))
        ['kme.toml']
        >>> list(configurations_of(AuthorityPlan(kmes, (), is_apart=True)))
        ['kme-alice.toml', 'kme-bob.toml']
    """
    if not plan.is_apart:
        return {"kme.toml": configuration_of(plan)}
    return {
        f"{file_stem(CertifiedRole.KME, kme.name)}.toml": _configuration_apart(plan, kme, number)
        for number, kme in enumerate(plan.kmes)
    }


def _configuration_apart(plan: AuthorityPlan, kme: KmePlace, number: int) -> str:
    """Return the configuration of one KME whose peers are in other processes."""
    health = plan.health
    if health is not None:  # counted down, so that all can be tried on one machine
        host, _, port = health.rpartition(":")
        health = f"{host}:{int(port) - number}"
    saes = tuple(sae for sae in plan.saes if sae.kme == kme.name)
    lines = [configuration_of(replace(plan, kmes=(kme,), saes=saes, health=health, is_apart=False))]
    own = link_place(kme)
    for offset, other in enumerate(one for one in plan.kmes if one != kme):
        served = [_quoted(sae.name) for sae in plan.saes if sae.kme == other.name]
        # Each of several others calls at a port of its own.
        listen = replace(own, port=own.port + offset).listen
        before = [one for one in plan.kmes if one != other].index(kme)
        url = replace(link_place(other), port=link_place(other).port + before).listen
        lines += [
            "[[remote_kme]]",
            f"kme = {_quoted(kme.name)}",
            f"id = {_quoted(other.name)}",
            f"url = {_quoted(f'https://{url}')}",
            f"listen = {_quoted(listen)}",
            f"saes = [{', '.join(served)}]",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def configuration_of(plan: AuthorityPlan) -> str:
    """Return the text of ``kme.toml``: servers for all KMEs of a plan, beside their certificates.

    Examples:
        >>> plan = AuthorityPlan((KmePlace("alice", "127.0.0.1", 8443),), ())
        >>> print(configuration_of(plan).splitlines()[2])
        [[kme]]
    """
    lines = [
        "# Servers of keys, as `e91 kme serve` starts them; paths are relative to this file.",
        "",
    ]
    if plan.health is not None:
        lines += ["[service]", f"health = {_quoted(plan.health)}", ""]
    for kme in plan.kmes:
        stem = file_stem(CertifiedRole.KME, kme.name)
        lines += [
            "[[kme]]",
            f"id = {_quoted(kme.name)}",
            f"listen = {_quoted(kme.listen)}",
            f"store = {_quoted(f'{stem}.sqlite')}",
            f"certificate = {_quoted(f'{stem}.crt')}",
            f"private_key = {_quoted(f'{stem}.key')}",
            'ca = "ca.crt"',
            'crl = "ca.crl"',
            "",
        ]
    for sae in plan.saes:
        lines += _sae_lines(sae)
    return "\n".join(lines).rstrip() + "\n"


def _sae_lines(sae: SaePlace) -> list[str]:
    return ["[[sae]]", f"id = {_quoted(sae.name)}", f"kme = {_quoted(sae.kme)}", ""]


def _quoted(text: str) -> str:
    """Return a printable text as a basic string of TOML."""
    return json.dumps(text, ensure_ascii=False)


def with_members(
    configurations: Mapping[Path, str], kmes: Sequence[KmePlace], saes: Sequence[SaePlace]
) -> dict[Path, str]:
    """Return configurations with new KMEs and applications.

    Args:
        configurations: Their texts; either one for all KMEs, or one for each.
        kmes: New KMEs; none where there are several configurations.
        saes: New applications.

    Raises:
        ValueError: A text is no configuration, somebody is there already, or an application is at
            a KME that is not there.

    Examples:
        >>> plan = AuthorityPlan((KmePlace("alice", "127.0.0.1", 8443),), ())
        >>> before = {Path("kme.toml"): configuration_of(plan)}
        >>> after = with_members(before, [], [SaePlace("pay", kme="alice")])
        >>> print(after[Path("kme.toml")].splitlines()[-3])
        [[sae]]
    """
    if kmes and len(configurations) > 1:
        raise ValueError(
            "`kme` must be added by hand where every KME has a configuration of its own: all of "
            "them must name it."
        )
    texts = dict(configurations)
    for file, text in texts.items():
        tables = parse_toml(text, ServiceTables, where=str(file))
        plan = AuthorityPlan(tuple(kmes) or (KmePlace("-", "localhost", 0),), ())
        here = {kme.id for kme in tables.kmes} | {kme.name for kme in kmes}
        lines = [configuration_of(plan).partition("\n\n")[2].rstrip()] if kmes else []
        lines += ["\n".join(_sae_lines(sae)).rstrip() for sae in saes if sae.kme in here]
        for sae in saes:
            if sae.kme not in here:
                text = _with_remote_sae(text, sae)
        texts[file] = "\n\n".join([text.rstrip(), *lines]) + "\n"
        parse_toml(texts[file], ServiceTables, where=str(file))  # names twice, unknown KMEs
    _check_served(texts, saes)
    return texts


def _with_remote_sae(text: str, sae: SaePlace) -> str:
    """Return a configuration in whose table of a remote KME an application is named."""

    def named(match: re.Match[str]) -> str:
        """Add the name to the list."""
        before, listed = match.group(1), match.group(2).strip()
        return f"{before}{listed}{', ' if listed else ''}{_quoted(sae.name)}]"

    name = re.escape(_quoted(sae.kme))
    inside = r"(?:(?!\n\[).)*?"  # up to the next table
    table = rf"(\[\[remote_kme\]\]{inside}\nid = {name}\n{inside}\nsaes = \[)([^\]]*)\]"
    return re.sub(table, named, text, flags=re.DOTALL)


def _check_served(texts: Mapping[Path, str], saes: Sequence[SaePlace]) -> None:
    """Refuse an application whose KME no configuration has."""
    tables = [parse_toml(text, ServiceTables, where=str(file)) for file, text in texts.items()]
    known = [kme.id for one in tables for kme in one.kmes]
    remote = [entry for one in tables for entry in one.remote_kmes]
    for sae in saes:
        if sae.kme not in known:
            raise ValueError(
                f"`sae` must be at one of {', '.join(known)}, but {sae.name} is at `{sae.kme}`."
            )
        if any(entry.id == sae.kme and sae.name not in entry.saes for entry in remote):
            raise ValueError(
                f"`saes` of every `[[remote_kme]]` of {sae.kme} must name {sae.name}, but one is "
                "written in a way that only you can change."
            )
