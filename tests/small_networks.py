"""Networks for tests, written in a line."""

from e91.network.graph import Graph
from e91.network.layout import LinkPlan, NetworkPlan, Quantity, Site, SiteKind


def network_of(users, relays, links, *, least_store_bits=0):
    """Return the plan of a network.

    Args:
        users: Names, separated by blanks.
        relays: The same.
        links: Their ends, as in ``"A-R R-B"``; a third part makes a parallel link: ``"A-R-2"``.
        least_store_bits: Of every link.
    """
    kinds = {**dict.fromkeys(users.split(), SiteKind.USER)}
    kinds |= dict.fromkeys(relays.split(), SiteKind.RELAY)
    km = Quantity(10.0, "km", assumed=True)
    return NetworkPlan(
        name="small",
        title="A small network",
        reference="a test",
        sites=tuple(Site(name, kind, 0.0, 0.0) for name, kind in kinds.items()),
        links=tuple(
            LinkPlan(name, tuple(name.split("-")[:2]), "", km, least_store_bits=least_store_bits)
            for name in links.split()
        ),
    )


def graph_of(users, relays, links):
    return Graph.of(network_of(users, relays, links))


def random_graph(rng, *, users=6, relays=6, links=9, homes=(1, 2)):
    """Return a graph of relays joined at random, users on some of them, and one direct link."""
    names = [f"R{i}" for i in range(relays)]
    joined = [rng.choice(relays, 2, replace=False) for _ in range(links)]
    parts = [f"R{a}-R{b}-{i}" for i, (a, b) in enumerate(joined)]
    for user in range(users):
        chosen = rng.choice(relays, rng.choice(homes), replace=False)
        parts += [f"U{user}-R{home}" for home in chosen]
    parts.append("U0-U1")
    return graph_of(" ".join(f"U{i}" for i in range(users)), " ".join(names), " ".join(parts))


def jinan_like(users=200, relays=8, chords=4):
    """Return a ring of relays with chords and users in turn on every relay."""
    ring = [f"R{i}-R{(i + 1) % relays}" for i in range(relays)]
    across = [f"R{i}-R{i + relays // 2}" for i in range(chords)]
    homes = [f"U{i}-R{i % relays}" for i in range(users)]
    return network_of(
        " ".join(f"U{i}" for i in range(users)),
        " ".join(f"R{i}" for i in range(relays)),
        " ".join(ring + across + homes),
    )
