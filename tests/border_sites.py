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
    """Make one authority for both networks, and a folder with kme.toml for each; return them."""
    kmes = [KmePlace(kme, "127.0.0.1", 0) for kme in ("alice", "border-1", "bob", "border-2")]
    saes = (SaePlace("a", "alice"), SaePlace("b", "bob"))
    new_authority(folder / "pki", AuthorityPlan(tuple(kmes), saes))
    ports = {name: free_port() for name in NETWORKS}
    for name, other in (("one", "two"), ("two", "one")):
        (folder / name).mkdir()
        (folder / name / "kme.toml").write_text(_configuration(name, other, ports))
    return folder


def _configuration(name, other, ports):
    kme, border, sae = NETWORKS[name]
    _, peer, far = NETWORKS[other]
    tables = [
        f'[[kme]]\nid = "{one}"\nlisten = "127.0.0.1:0"\nstore = "{one}.sqlite"\n'
        f'certificate = "../pki/kme-{one}.crt"\nprivate_key = "../pki/kme-{one}.key"\n'
        'ca = "../pki/ca.crt"\ncrl = "../pki/ca.crl"\n'
        for one in (kme, border)
    ]
    tables.append(f'[[sae]]\nid = "{sae}"\nkme = "{kme}"\n')
    tables.append(
        f'[[peer_network]]\nkme = "{border}"\npeer = "{peer}"\nsaes = ["{far}"]\n'
        f'url = "https://127.0.0.1:{ports[other]}"\nlisten = "127.0.0.1:{ports[name]}"\n'
    )
    return "\n".join(tables)


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
        self.name, self.pki = name, folder / "pki"

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
        return SaeClient(self.port(kme), client_context(self.pki, f"sae-{sae}"))

    def peer(self, stem):
        """A caller at the border's port with some certificate."""
        return SaeClient(self.border_port, client_context(self.pki, stem))
