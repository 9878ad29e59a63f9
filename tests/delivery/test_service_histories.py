"""Random histories of a key service, its stores failing and restarting in between.

Blocks are made of 4-byte words that never repeat, so that a byte that is given twice, or got by
somebody whom it is not for, is seen at once.
"""

import asyncio
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from key_stores import SAES, SqliteStores, provenance, service_of

from e91.keys.key_blocks import HeldKey, KeyBlock
from e91.model.errors import LinkAlarmed, NotEnoughKey, RepeatedKey, StoreFailed, UnknownKey

MEMORY = Path("/dev/shm")
KMES = ("alice", "bob", "charlie")
LINKS = (("alice", "bob"), ("alice", "charlie"))
SAE = st.sampled_from(sorted(SAES))

BREAKS = st.dictionaries(st.sampled_from(KMES), st.sampled_from(["before", "after"]))


class BreakingDatabase:
    """A real store whose next write fails, before or after it is on the disk."""

    def __init__(self, database):
        self._database = database
        self.breaks = None

    def __getattr__(self, name):
        return getattr(self._database, name)

    def commit(self, *row):
        breaks, self.breaks = self.breaks, None
        if breaks == "before":
            raise StoreFailed("The disk must have room, but has none.")
        self._database.commit(*row)
        if breaks == "after":
            raise StoreFailed("The disk must answer, but does not.")


class Histories(RuleBasedStateMachine):
    """What may happen to a service of three KMEs with two links, and what must hold then."""

    def __init__(self):
        super().__init__()
        # In memory where that is possible: no history has a power failure.
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.loop = asyncio.new_event_loop()
        self.words = iter(range(1, 2**31))
        self.seen = Counter()  # how often the master of a key was given each word
        self.waiting = {}  # (slave, identifier): master, content
        self.voided = []
        self.alarms = set()
        self.start()

    def teardown(self):
        self.run(self.service.close())
        self.loop.close()
        shutil.rmtree(self.folder)

    def run(self, work):
        return self.loop.run_until_complete(work)

    def start(self):
        stores = SqliteStores(self.folder)
        self.databases = {kme: BreakingDatabase(stores.database(kme)) for kme in KMES}
        self.service = service_of(self.databases, reopen_after_s=None)
        self.run(self.service.start())

    def content(self, words):
        return b"".join(next(self.words).to_bytes(4, "big") for _ in range(words))

    @rule(link=st.sampled_from(LINKS), words=st.integers(1, 40), at=st.integers(0, 5))
    def deposit(self, link, words, at):
        block = KeyBlock(uuid4(), self.content(words), provenance(*link, made_at=float(at)))
        try:
            self.run(self.service.deposit(dict.fromkeys(link, block)))
        except LinkAlarmed:
            assert link in self.alarms

    @rule(master=SAE, slaves=st.lists(SAE, min_size=1, max_size=3, unique=True),
          number=st.integers(1, 4), words=st.integers(1, 9))  # fmt: skip
    def give(self, master, slaves, number, words):
        if master in slaves:
            return
        try:
            keys = self.run(self.service.give(master, slaves, number=number, size=32 * words))
        except (NotEnoughKey, LinkAlarmed):
            return
        assert len(keys) == number
        for key in keys:
            assert len(key.content) == 4 * words
            self.seen.update(key.content[i : i + 4] for i in range(0, 4 * words, 4))
            for slave in slaves:
                self.waiting[slave, key.key_id] = master, key.content

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def fetch(self, data):
        (slave, key_id), (master, content) = data.draw(
            st.sampled_from(sorted(self.waiting.items(), key=str))
        )
        fetch = self.service.fetch(slave, master, key_ids=[key_id])
        del self.waiting[slave, key_id]
        assert [key.content for key in self.run(fetch)] == [content]
        with pytest.raises(UnknownKey):
            self.run(self.service.fetch(slave, master, key_ids=[key_id]))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def void(self, data):
        slave, key_id = data.draw(st.sampled_from(sorted(self.waiting, key=str)))
        kme = SAES[slave]
        [state] = self.run(self.service.void(kme, [key_id])).values()
        assert state in ("voided", "delivered")
        for other in [one for one in self.waiting if one[1] == key_id and SAES[one[0]] == kme]:
            master, _ = self.waiting.pop(other)
            with pytest.raises(UnknownKey):
                self.run(self.service.fetch(other[0], master, key_ids=[key_id]))
        self.voided.append((kme, key_id))

    @precondition(lambda self: self.voided)
    @rule(data=st.data())
    def keep_late(self, data):
        kme, key_id = data.draw(st.sampled_from(self.voided))
        slave = next(sae for sae, place in SAES.items() if place == kme)
        key = HeldKey(key_id, self.content(2), provenance("x", kme))
        with pytest.raises(RepeatedKey):
            self.run(self.service.keep(kme, key, master="x", slaves=[slave]))

    @rule(kme=st.sampled_from(KMES))
    def keep(self, kme):
        slave = next(sae for sae, place in SAES.items() if place == kme)
        key = HeldKey(uuid4(), self.content(3), provenance("x", kme))
        self.run(self.service.keep(kme, key, master="x", slaves=[slave]))
        self.waiting[slave, key.key_id] = "x", key.content

    @rule(link=st.sampled_from(LINKS), since=st.integers(0, 6))
    def ring(self, link, since):
        self.run(self.service.ring(*link, since=float(since), reason="S fell"))
        self.alarms.add(link)
        self.forget_what_is_void()

    @rule(link=st.sampled_from(LINKS))
    def clear(self, link):
        self.run(self.service.clear(*link))
        self.alarms.discard(link)

    @rule(folded=st.booleans())
    def restart(self, folded):
        """Close it, or end it as a killed process ends."""
        if folded:
            self.run(self.service.close())
        else:
            self.kill()
        self.start()

    @rule(broken=BREAKS.filter(bool), later=BREAKS, master=SAE,
          slaves=st.permutations(sorted(SAES)), words=st.integers(1, 3))  # fmt: skip
    def fail_amid_giving(self, broken, later, master, slaves, words):
        """Let writes fail when keys are given, and again when the stores are opened after that."""
        for kme, breaks in broken.items():
            self.databases[kme].breaks = breaks
        slaves = [slave for slave in slaves if slave != master][:2]
        try:
            self.run(self.service.give(master, slaves, size=32 * words))
        except StoreFailed:
            with pytest.raises(StoreFailed):
                self.run(self.service.give("a", ["b"]))
            for kme, breaks in later.items():
                self.databases[kme].breaks = breaks
            self.reopen()
        except (NotEnoughKey, LinkAlarmed):
            pass
        else:
            assert all(self.databases[kme].breaks for kme in broken)  # none of them was written
        for database in self.databases.values():
            database.breaks = None

    def reopen(self):
        """Open the stores again; what breaks still breaks amid the repair, once each."""
        for _ in range(4):
            try:
                self.run(self.service.reopen())
            except StoreFailed:
                continue
            break
        assert self.service.failed is None

    def kill(self):
        """End without closing: what is in memory is lost."""
        service = self.service
        service._writer.failed = "killed"
        self.run(service.close())

    def forget_what_is_void(self):
        """Take out of the model what an alarm made void."""
        for (slave, key_id), (master, _) in list(self.waiting.items()):
            grant = self.service.holdings(SAES[slave]).keys.get(key_id.bytes)
            if grant is None:
                del self.waiting[slave, key_id]
                with pytest.raises(UnknownKey):
                    self.run(self.service.fetch(slave, master, key_ids=[key_id]))

    @invariant()
    def no_word_was_given_twice(self):
        assert not self.seen or max(self.seen.values()) == 1

    @invariant()
    def every_bit_is_accounted_for_and_both_ends_agree(self):
        states = {
            (state.kme, link.peer): link for state in self.service.kmes() for link in state.links
        }
        for (kme, peer), link in states.items():
            parts = (link.free, link.reserved, link.delivered, link.voided)
            assert min(parts) >= 0
            assert sum(parts) == link.deposited
            assert states[peer, kme].free == link.free

    @invariant()
    def all_that_waits_is_there(self):
        for slave, key_id in self.waiting:
            grant, index = self.service.holdings(SAES[slave]).keys[key_id.bytes]
            assert slave in grant.event.slaves
            assert slave not in grant.fetched.get(index, ())


def test_histories_keep_every_promise():
    run_state_machine_as_test(
        Histories, settings=settings(max_examples=8, stateful_step_count=25, deadline=None)
    )


@pytest.mark.slow
def test_many_histories_keep_every_promise():
    run_state_machine_as_test(
        Histories, settings=settings(max_examples=150, stateful_step_count=50, deadline=None)
    )
