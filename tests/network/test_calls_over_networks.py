"""A call whose keys a network delivers, while Eve sits down on the way that they take."""

from dataclasses import dataclass, field, replace

import pytest

from e91.encryption.rtp import (
    CallKey,
    ClaimsInMemory,
    KeyChanges,
    KeysInMemory,
    PacketReceiver,
    PacketSender,
    UnreliablePath,
)
from e91.encryption.sound import SoundReceiver, media_of, send_sound
from e91.model.errors import KeyUnavailable
from e91.network import begin
from e91.network.layout import KEY_BITS, Requests, Rotation
from tests.call_ends import noise, silenced
from tests.small_networks import lit, network_of

pytestmark = pytest.mark.slow

PERIOD_S = 0.5
# One way carries all of it, and no store is ever full: a link that makes nothing rings no alarm.
DEMAND = (Rotation("A", "B", PERIOD_S), Requests(80, 1024, within_sector=0))
SECONDS = 12.0
ATTACK_S = 4.0


@dataclass
class Delivering:
    """A network that gives both ends a key for every change, and both ends' stocks.

    Attributes:
        simulation: The network, at depth bits.
        routes: Links that each key was padded on, by its name, with the time.
    """

    simulation: object
    source: KeysInMemory = field(default_factory=KeysInMemory)
    target: KeysInMemory = field(default_factory=KeysInMemory)
    routes: dict = field(default_factory=dict)

    def take(self, key):
        """Give both ends a new key, each its own bits; other keys are other users' work."""
        if key.bits != KEY_BITS:
            return
        name = f"network {len(self.routes)}"
        links = {self.simulation.graph.links[link] for link, _ in key.rests_on}
        self.routes[name] = (key.time_s, links)
        for stock, number in ((self.source, key.at_source), (self.target, key.at_target)):
            stock.deposit(CallKey(name, number.to_bytes(key.bits // 8, "big")))


@pytest.fixture
def network():
    """Two users, two relays, and a new key every half second."""
    small = lit(network_of("A B", "R1 R2", "A-R1 R1-B A-R2 R2-B"))
    simulation = begin(replace(small, demand=DEMAND), seed=5, workers=1)
    try:
        delivering = Delivering(simulation)
        simulation.users.listener = delivering.take
        simulation.advance(0.0)
        yield delivering
    finally:
        simulation.close()


def call_over(network, sound, *, path, attacked):
    """Let a call go on while the network's time passes; return the ends."""
    sender = PacketSender(
        network.source,
        ClaimsInMemory(),
        changes=KeyChanges(PERIOD_S, PERIOD_S / 2, retry_s=0.05),
        media=media_of(sound),
    )
    ear, datagrams = SoundReceiver(PacketReceiver(network.target)), []
    is_attacked = False
    network.simulation.advance(PERIOD_S / 5)
    stream = send_sound(sound, sender)
    for time_s, some in stream:
        network.simulation.advance(time_s + PERIOD_S / 5)
        if not is_attacked and time_s >= ATTACK_S:
            is_attacked = True
            network.simulation.attack(attacked(network), "intercept-resend", 1.0)
        datagrams += some
    for datagram in [*path.carry(datagrams[:-1], seed=1), datagrams[-1]]:
        ear.receive(datagram)
    return sender, ear


def link_in_use(network):
    """Return a link that the newest key was padded on."""
    _, links = list(network.routes.values())[-1]
    return min(links)


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_an_attack_in_the_middle_of_a_call_is_heard_as_nothing(network, loss):
    sound, path = noise(SECONDS), UnreliablePath(loss=loss, reorder=10 * (loss > 0))
    sender, ear = call_over(network, sound, path=path, attacked=link_in_use)
    found = ear.recovered()
    assert found.sound.pcm == silenced(sound, found.gaps)
    assert (found.missing == 0) == (loss == 0)
    # The alarm rang on the link that was attacked, and keys went the other way from then on.
    [alarm] = network.simulation.history.alarms
    used = {key.key_id: network.routes[key.key_id] for key in sender.used}
    assert len(used) == SECONDS / PERIOD_S
    before = {frozenset(links) for time_s, links in used.values() if time_s < ATTACK_S}
    after = {frozenset(links) for time_s, links in used.values() if time_s > alarm.time_s}
    assert all(alarm.link in links for links in before)
    assert after
    assert not any(alarm.link in links for links in after)
    assert ear.receiver.key_ids == [key.key_id for key in sender.used]


def test_without_another_way_the_call_ends_and_no_key_is_stretched():
    small = replace(lit(network_of("A B", "R1", "A-R1 R1-B")), demand=DEMAND)
    simulation = begin(small, seed=5, workers=1)
    try:
        network = Delivering(simulation)
        simulation.users.listener = network.take
        simulation.advance(0.0)
        with pytest.raises(KeyUnavailable):
            call_over(network, noise(SECONDS), path=UnreliablePath(), attacked=lambda _: "A-R1")
        [alarm] = simulation.history.alarms
        assert alarm.link == "A-R1"
    finally:
        simulation.close()
