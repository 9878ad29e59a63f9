"""Two networks that hand keys over at a border, in one process, on a clock that stands still.

Only the sockets are left out: a call of one side is a request at the door of the other, and a wire
between them loses what a test tells it to.
"""

import asyncio
import os
from contextlib import asynccontextmanager
from uuid import uuid4

from e91.delivery.between_networks.border_service import BorderService
from e91.delivery.between_networks.carrying import NetworkSide
from e91.delivery.between_networks.handover import Handover
from e91.delivery.between_networks.peer_door import PeerDoor, PeerPolicy
from e91.delivery.between_networks.peer_messages import ACKS
from e91.delivery.between_networks.retrying import USUAL_LIMITS
from e91.delivery.between_networks.transfer_ledger import TransferLedger
from e91.delivery.http.exchange import HttpRequest
from e91.delivery.service import KeyService
from e91.delivery.tls.identity import PeerIdentity
from e91.keys.databases.sqlite import SqliteDatabase
from e91.keys.key_blocks import KeyBlock
from e91.keys.provenance import Provenance
from e91.model.trust import SecurityModel

URLS = {"border-1": "https://127.0.0.1:9441", "border-2": "https://127.0.0.1:9442"}


class Clock:
    """Says what a test wants."""

    def __init__(self):
        self.now = 1.8e9

    def __call__(self):
        return self.now


class Wire:
    """Calls from one side to the other.

    Attributes:
        door: The other side's; None if nobody is there.
        peer: Who calls.
        loses: Called with a path; "request" or "answer" of what it returns is lost.
        sent: Paths and bodies that were called.
    """

    def __init__(self, caller):
        self.peer = PeerIdentity(kme=caller)
        self.door, self.sent = None, []
        self.loses = lambda _: None

    async def post(self, path, body):
        self.sent.append((path, body))
        lost = self.loses(path)
        if self.door is None or lost == "request":
            return None
        reply = await self.door(HttpRequest("POST", path, {}, body, self.peer))
        return None if lost == "answer" else reply.status


class Network:
    """One network: its stores, its side of the border, and what its applications call.

    Attributes:
        service: The stores of its two KMEs.
        handover: The keys between it and the other network.
        giver: What an application asks for keys.
        door: What the other network asks.
    """

    def __init__(self, folder, clock, *, kme, border, sae, peer, far_sae, limits):
        self.kme, self.border, self.clock = kme, border, clock
        self.folder, self.limits, self.peer = folder, limits, peer
        self.saes, self.far_sae = {sae: kme}, far_sae
        self.wire = Wire(border)
        self.build()

    def build(self):
        """Make everything anew over the files that are there, as after a start."""
        folder, clock = self.folder, self.clock
        kmes = (self.kme, self.border)
        internal = {f"020:{name}": name for name in kmes}
        self.service = KeyService(
            {name: SqliteDatabase(folder / f"{name}.sqlite") for name in kmes},
            sae_kmes=self.saes | internal,
            clock=clock,
        )
        self.side = NetworkSide(self.service, self.border, self.peer, self.saes)
        self.handover = Handover(
            TransferLedger(folder / f"{self.border}.transfers"),
            self.wire,
            self.side,
            callback=URLS[self.border] + ACKS,
            clock=clock,
            random=lambda: 0.5,
            limits=self.limits,
            peer=self.peer,
        )
        policy = PeerPolicy(
            self.peer, URLS[self.peer] + ACKS, frozenset(self.saes), frozenset([self.far_sae])
        )
        self.door = PeerDoor(self.handover, policy)
        self.giver = BorderService(
            self.service,
            {self.far_sae: (self.side, self.handover)},
            patience_s=0.3,
            clock=clock,
        )

    async def start(self):
        await self.service.start()
        await self.handover.start()

    async def stop(self):
        await self.handover.close()
        await self.service.close()

    async def restart(self, *peers):
        """Start anew from what is on the disk; peers then call the new door."""
        await self.stop()
        self.build()
        await self.start()
        for other in peers:
            other.wire.door = self.door

    async def fill(self, size=4096):
        """Put key between the KME and the border."""
        block_id, content = uuid4(), os.urandom(size)
        said = Provenance(
            SecurityModel.TRUSTED_ANALYSERS, "phase-errors", "coherent attacks", 1e-10, True, 2.7,
            2.6, (self.kme, f"R-{self.kme}", self.border), (f"R-{self.kme}",), 1, True,
            self.clock() - 5, f"network of {self.kme}",
        )  # fmt: skip
        block = KeyBlock(block_id, content, said)
        await self.service.deposit({self.kme: block, self.border: block})


class TwoNetworks:
    """Alice's network and Bob's.

    Attributes:
        alice: Where keys are asked for.
        bob: Where they are for.
        clock: Of both.
    """

    def __init__(self, folder, *, limits=USUAL_LIMITS):
        self.clock = Clock()
        given = {"clock": self.clock, "limits": limits}
        self.alice = Network(
            folder, kme="alice", border="border-1", sae="a", peer="border-2", far_sae="b", **given
        )
        self.bob = Network(
            folder, kme="bob", border="border-2", sae="b", peer="border-1", far_sae="a", **given
        )
        self.connect()

    def connect(self):
        self.alice.wire.door, self.bob.wire.door = self.bob.door, self.alice.door

    async def step(self, *, seconds=0.0):
        """Let time pass at once, and both sides do what is due then."""
        self.clock.now += seconds
        for _ in range(3):
            await self.alice.handover.step()
            await self.bob.handover.step()

    async def ask(self, *, number=1, size=256, patience_s=20.0, **given):
        """Ask for keys as alice's application, while both sides do what is due."""
        self.alice.giver._patience_s = patience_s
        asking = asyncio.ensure_future(
            self.alice.giver.give("a", ["b"], number=number, size=size, **given)
        )
        while not asking.done():
            await asyncio.sleep(0)
            await self.step()
        return await asking


@asynccontextmanager
async def two_networks(folder, *, filled=True, **given):
    """Give two networks that are open, with key between the KMEs of each."""
    both = TwoNetworks(folder, **given)
    for network in (both.alice, both.bob):
        await network.start()
        if filled:
            await network.fill()
    try:
        yield both
    finally:
        for network in (both.alice, both.bob):
            await network.stop()
