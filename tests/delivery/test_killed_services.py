"""A key service that is killed under load: nothing twice, nothing acknowledged lost, ends equal."""

import asyncio
import hashlib
import os
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from uuid import UUID

import pytest
from key_stores import SqliteStores, contents_of, service_of

from e91.model.errors import ForeignKey, UnknownKey

CHILD = Path(__file__).with_name("killed_service.py")
PAIRS = {"a": "b", "b": "a", "a2": "b2"}


class Answers:
    """What all services before this one acknowledged."""

    def __init__(self):
        self.given = {}  # identifier: digest
        self.fetched = Counter()
        self.digests = defaultdict(set)

    def read(self, output):
        for line in output.splitlines()[1:]:
            what, key_id, digest = line.split()
            self.digests[key_id].add(digest)
            if what == "given":
                assert key_id not in self.given
                self.given[key_id] = digest
            else:
                self.fetched[key_id] += 1


def killed_after(seconds, *arguments, environment):
    """Run a service, kill it some time after it has begun, and return what it said."""
    child = subprocess.Popen(
        [sys.executable, CHILD, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    )
    first = child.stdout.readline()
    time.sleep(seconds)
    child.kill()
    rest = child.stdout.read()
    child.wait()
    child.stdout.close()
    assert first == "begun\n"
    return first + rest


async def fetch_what_waits(service, answers):
    """Fetch, after a kill, every key that was given and that nobody is known to have fetched."""
    lost = 0
    for key_id, digest in list(answers.given.items()):
        if answers.fetched[key_id]:
            continue
        for slave, master in (("b", "a"), ("a", "b"), ("b2", "a2")):
            try:
                [key] = await service.fetch(slave, master, key_ids=[UUID(key_id)])
            except (UnknownKey, ForeignKey):
                continue
            assert hashlib.sha256(key.content).hexdigest() == digest
            answers.fetched[key_id] += 1
            break
        else:  # its fetch was on the disk, and its answer was not printed yet
            answers.fetched[key_id] += 1
            lost += 1
    return lost


async def refuse_what_was_fetched(service, answers, chosen):
    """Check that no key is delivered again."""
    for key_id in chosen.sample(sorted(answers.fetched), min(30, len(answers.fetched))):
        for slave, master in (("b", "a"), ("a", "b"), ("b2", "a2")):
            with pytest.raises((UnknownKey, ForeignKey)):
                await service.fetch(slave, master, key_ids=[UUID(key_id)])


def after_kill(stores, answers, chosen):
    """Open the stores again, and look at what they hold; return how many answers were lost."""

    async def run():
        service = service_of({kme: stores.database(kme) for kme in ("alice", "bob")})
        await service.start()  # it refuses stores whose ends differ
        lost = await fetch_what_waits(service, answers)
        await refuse_what_was_fetched(service, answers, chosen)
        for state in service.kmes():
            for link in state.links:
                parts = (link.free, link.reserved, link.delivered, link.voided)
                assert sum(parts) == link.deposited
        keys = await service.give("a", ["b"], number=20)
        assert contents_of(
            await service.fetch("b", "a", key_ids=[key.key_id for key in keys])
        ) == contents_of(keys)
        for key in keys:
            answers.digests[str(key.key_id)].add(hashlib.sha256(key.content).hexdigest())
        await service.close()
        return lost

    return asyncio.run(run())


@pytest.mark.slow
def test_fifty_kills_lose_nothing_and_give_nothing_twice(stores, tmp_path):
    chosen, answers = random.Random(91), Answers()
    place = str(tmp_path) if isinstance(stores, SqliteStores) else stores.url
    kind = "sqlite" if isinstance(stores, SqliteStores) else "postgresql"
    environment = {**os.environ, "PYTHONPATH": ":".join(filter(None, sys.path))}
    lost = 0
    for _ in range(50):
        output = killed_after(chosen.uniform(0, 0.25), kind, place, environment=environment)
        answers.read(output)
        lost += after_kill(stores, answers, chosen)
        assert {path.name for path in tmp_path.iterdir()} <= {"alice.sqlite", "bob.sqlite"}
    assert len(answers.given) > 500
    # The same bytes under two names would be the same key twice; one name has one key at both ends.
    assert all(len(digests) == 1 for digests in answers.digests.values())
    digests = Counter(digest for found in answers.digests.values() for digest in found)
    assert max(digests.values()) == 1
    assert max(answers.fetched.values()) == 1
    # An answer is lost only if it was on its way: at most one for each of twelve who asked.
    assert lost <= 50 * 12 * 3
