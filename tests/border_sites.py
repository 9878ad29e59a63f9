"""Two networks as two servers with real ports, certificates of one authority, and a border."""

import os
import socket
import time
from uuid import uuid4

from key_servers import RunningServer, SaeClient, client_context

from e91.delivery import AuthorityPlan, KmePlace, SaePlace, new_authority
from e91.keys.key_blocks import KeyBlock
from e91.keys.provenance import Provenance
from e91.model.trust import SecurityModel

NETWORKS = {"one": ("alice", "border-1", "a"), "two": ("bob", "border-2", "b")}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def new_borders(folder):
    """Make for each network a folder with an authority of its own and a kme.toml; return it."""
    ports = {name: free_port() for name in NETWORKS}
    for name, (kme, border, sae) in NETWORKS.items():
        kmes = tuple(KmePlace(one, "127.0.0.1", 0) for one in (kme, border))
        new_authority(folder / name, AuthorityPlan(kmes, (SaePlace(sae, kme),)))
    for name, other in (("one", "two"), ("two", "one")):
        _, border, _ = NETWORKS[name]
        _, peer, far = NETWORKS[other]
        configuration = folder / name / "kme.toml"
        table = (
            f'\n[[peer_network]]\nkme = "{border}"\npeer = "{peer}"\nsaes = ["{far}"]\n'
            f'url = "https://127.0.0.1:{ports[other]}"\nlisten = "127.0.0.1:{ports[name]}"\n'
            f'ca = "../{other}/ca.crt"\ncrl = "../{other}/ca.crl"\n'
        )
        configuration.write_text(configuration.read_text() + table)
    return folder


def certified(folder, server, caller, stem):
    """Return the TLS of a caller that trusts one network and has a certificate of another."""
    context = client_context(folder / server)
    files = folder / caller / f"{stem}.crt", folder / caller / f"{stem}.key"
    context.load_cert_chain(*files)
    return context


async def fill(service, name, size=65_536):
    """Put key between a network's KME and its border."""
    kme, border, _ = NETWORKS[name]
    said = Provenance(
        SecurityModel.TRUSTED_ANALYSERS, "phase-errors", "coherent attacks", 1e-10, True, 2.7, 2.6,
        (kme, border), (), 1, False, time.time(), f"network {name}",
    )  # fmt: skip
    block = KeyBlock(uuid4(), os.urandom(size), said)
    await service.deposit({kme: block, border: block})


class Site(RunningServer):
    """One network's server, in a thread, with key in its stores."""

    def __init__(self, folder, name):
        super().__init__(folder / name)
        self.name, self.root = name, folder

    def __enter__(self):
        self.start()
        self.run(fill(self.delivery.service, self.name))
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def border_port(self):
        return self.delivery.borders.borders[0].listener.address.port

    def application(self):
        kme, _, sae = NETWORKS[self.name]
        context = certified(self.root, self.name, self.name, f"sae-{sae}")
        return SaeClient(self.port(kme), context)

    def peer(self, caller, stem):
        """A caller at the border's port with some certificate of some network."""
        return SaeClient(self.border_port, certified(self.root, self.name, caller, stem))
