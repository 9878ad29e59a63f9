"""The two ends of a link in two processes: only what both confirm is given, whatever gets lost."""

import asyncio
import http.client
import json
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from itertools import count
from uuid import UUID, uuid4

import msgspec
import pytest
from key_servers import (
    KMES,
    SAES,
    SaeClient,
    client_context,
    key_ids_of,
    provenance_of_link,
)
from key_stores import SqliteStores, ids_of

from e91.delivery import AuthorityPlan, new_authority
from e91.delivery.group_commit import Batch
from e91.delivery.remote_ends.link_messages import CLAIMS, RESERVATIONS, Reservations, packed
from e91.delivery.remote_ends.remote_end import RemoteEnd
from e91.delivery.remote_ends.shared_blocks import RemoteLink, reserve, sender_of
from e91.delivery.service import KeyService
from e91.devices.exact import exact_device
from e91.keys.holdings.events import Granted
from e91.keys.key_blocks import KeyBlock
from e91.model.errors import (
    DeliveryFailed,
    NotDelivered,
    NotEnoughKey,
    OtherEndSilent,
    UnknownKey,
)
from e91.session.folder import save_session
from e91.session.session import run

FAULTS = (OSError, http.client.HTTPException)
PEERS = {"alice": "bob", "bob": "alice"}
APPS = {"alice": "a", "bob": "b"}


async def until(holds):
    """Wait for something that two tasks bring about."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - there is no event for what both ends must know
            await asyncio.sleep(0.005)


class Line:
    """Carries the messages of one end to the other end; it may lose one, or its answer."""

    def __init__(self, site, home):
        self.site, self.home = site, home

    async def ask(self, path, body):
        await asyncio.sleep(0)
        fault = self.site.fault(path)
        end = self.site.ends.get(PEERS[self.home])
        if fault == "message" or end is None:
            raise DeliveryFailed("The message must arrive, but is lost.")
        try:
            answer = await end.answer(path, body)
        except (NotDelivered, ValueError) as error:
            raise DeliveryFailed(str(error)) from None
        if fault == "answer":
            raise DeliveryFailed("The answer must arrive, but is lost.")
        return answer


class Site:
    """Two services with a store each, as two processes have them, and the lines between them."""

    def __init__(self, folder):
        self.stores = SqliteStores(folder)
        self.services, self.ends, self.tasks = {}, {}, {}
        self.fault = lambda path: None
        self.words = count(1)

    async def start(self, kme):
        peer = PEERS[kme]
        saes = {app: at for at, app in APPS.items()}
        service = KeyService(
            {kme: self.stores.database(kme)}, sae_kmes=saes, remote_links=[(kme, peer)]
        )
        await service.start()
        link = RemoteLink(kme, peer, frozenset(APPS[kme]), frozenset(APPS[peer]))
        self.services[kme], self.ends[kme] = service, RemoteEnd(link, service, Line(self, kme))
        self.tasks[kme] = asyncio.create_task(self.ends[kme].run())

    async def stop(self, kme):
        task = self.tasks.pop(kme)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.ends.pop(kme).give_up("It is stopped.")
        await self.services.pop(kme).close()

    async def deposit(self, size, *kmes, block_id=None, content=None):
        """Put a block of words that never repeat into the ends; return name and content."""
        block_id = block_id or uuid4()
        content = content or b"".join(next(self.words).to_bytes(4, "big") for _ in range(size // 4))
        for kme in kmes or KME_NAMES:
            block = KeyBlock(block_id, content, provenance_of_link(made_at=1e9))
            await self.services[kme].deposit_end(kme, block, peer=PEERS[kme])
        return block_id, content

    async def agreed(self):
        """Wait until both ends agree, and have no news for each other."""
        await until(
            lambda: not any(end.failed is not None or end._has_news for end in self.ends.values())
        )

    def free(self):
        """The free bytes at either end."""
        return {
            kme: self.services[kme].holdings(kme).free.get(PEERS[kme], 0) for kme in self.services
        }

    async def give(self, kme, **options):
        return await self.services[kme].give(APPS[kme], [APPS[PEERS[kme]]], **options)

    async def fetch(self, kme, key_ids):
        return await self.services[kme].fetch(APPS[kme], APPS[PEERS[kme]], key_ids=key_ids)


KME_NAMES = tuple(PEERS)


@asynccontextmanager
async def both_running(folder):
    site = Site(folder)
    for kme in KME_NAMES:
        await site.start(kme)
    try:
        yield site
    finally:
        for kme in list(site.services):
            await site.stop(kme)


def in_loop(folder, story):
    """Let a story happen to two ends."""

    async def happen():
        async with both_running(folder) as site:
            await site.agreed()
            await story(site)

    asyncio.run(happen())


def test_what_one_end_gives_the_other_one_has_and_nothing_before_both_have_the_block(tmp_path):
    async def story(site):
        block_id, content = await site.deposit(640, "alice")
        await site.agreed()
        with pytest.raises(NotEnoughKey):
            await site.give("alice")
        assert site.services["alice"].stock("a", "b").bits == 0
        await site.deposit(640, "bob", block_id=block_id, content=content)
        await site.agreed()
        given = {kme: await site.give(kme, number=3) for kme in KME_NAMES}
        assert b"".join(key.content for key in given["alice"]) == content[:96]
        for kme in KME_NAMES:
            fetched = await site.fetch(PEERS[kme], ids_of(given[kme]))
            assert [key.content for key in fetched] == [key.content for key in given[kme]]
            with pytest.raises(UnknownKey):
                await site.fetch(PEERS[kme], ids_of(given[kme]))
        assert site.free() == {"alice": 448, "bob": 448}

    in_loop(tmp_path, story)


@pytest.mark.parametrize("lost", ["message", "answer"])
def test_a_key_that_is_not_confirmed_is_nobodys(tmp_path, lost):
    async def story(site):
        await site.deposit(640)
        await site.agreed()
        site.fault = lambda path: lost if path == RESERVATIONS else None
        with pytest.raises(OtherEndSilent):
            await site.give("alice")
        site.fault = lambda path: None
        await site.agreed()
        # Withdrawn with the next message.
        await until(lambda: not site.services["bob"].kmes()[0].keys_waiting)
        assert site.free() == {"alice": 608, "bob": 608}
        [key] = await site.give("alice")
        assert [one.content for one in await site.fetch("bob", [key.key_id])] == [key.content]

    in_loop(tmp_path, story)


def test_while_the_other_end_is_away_nothing_is_cut(tmp_path):
    async def story(site):
        await site.deposit(640)
        await site.agreed()
        waiting = ids_of(await site.give("bob", number=2))
        await site.stop("bob")
        for _ in range(3):
            with pytest.raises(OtherEndSilent):
                await site.give("alice")
        assert site.free()["alice"] >= 640 - 3 * 32  # one may be lost before it is noticed
        await site.fetch("alice", waiting)  # what waits here needs nobody
        await site.start("bob")
        await site.agreed()
        await site.give("alice")
        assert len(set(site.free().values())) == 1

    in_loop(tmp_path, story)


def test_both_ends_that_want_the_last_key_do_not_get_the_same(tmp_path):
    async def story(site):
        for _ in range(10):
            await site.deposit(32)
            await site.agreed()
            asked = await asyncio.gather(*map(site.give, KME_NAMES), return_exceptions=True)
            given = [one for one in asked if not isinstance(one, NotDelivered)]
            assert len(given) <= 1
            await site.agreed()
            assert set(site.free().values()) == {0}

    in_loop(tmp_path, story)


def test_a_store_from_a_backup_is_refused(tmp_path):
    async def story(site):
        await site.deposit(640)
        await site.agreed()
        await site.give("alice")
        await site.stop("bob")
        backup = (tmp_path / "bob.sqlite").read_bytes()
        await site.start("bob")
        await site.agreed()
        await site.give("alice", number=5)
        await site.stop("bob")
        (tmp_path / "bob.sqlite").write_bytes(backup)
        await site.start("bob")
        await until(lambda: "never open a backup" in (site.ends["alice"].failed or ""))
        for kme in KME_NAMES:
            with pytest.raises(OtherEndSilent):
                await site.give(kme)

    in_loop(tmp_path, story)


def test_a_claim_that_an_answer_overtook_is_no_backup(tmp_path):
    async def story(site):
        await site.deposit(640)
        await site.agreed()
        late = packed(site.ends["alice"]._claim())
        await site.deposit(640)
        await site.agreed()
        await site.give("alice", number=3)
        await site.ends["bob"].answer(CLAIMS, late)
        assert site.ends["bob"].failed is None
        await site.give("bob", number=25)
        assert set(site.free().values()) == {384}

    in_loop(tmp_path, story)


class History:
    """What happens at random to two ends: losses, restarts, blocks that come to one end first."""

    def __init__(self, site, seed):
        self.site, self.draw = site, random.Random(seed)
        self.owners = Counter()  # how many masters got each word
        self.lacking = []  # the ends of blocks that are still to come
        site.fault = lambda path: self.draw.choices([None, "message", "answer"], [20, 1, 1])[0]

    async def use(self, kme):
        """Give keys, and mostly fetch them."""
        try:
            keys = await self.site.give(kme, number=self.draw.randint(1, 3), size=64)
        except NotDelivered:
            return
        for key in keys:
            self.owners.update(key.content[at : at + 4] for at in range(0, len(key.content), 4))
        if self.draw.random() < 0.7 and PEERS[kme] in self.site.services:
            fetched = await self.site.fetch(PEERS[kme], ids_of(keys))
            assert [one.content for one in fetched] == [one.content for one in keys]

    async def step(self):
        """Do one thing."""
        kme = self.draw.choice(KME_NAMES)
        match self.draw.choices(["use", "deposit", "one end", "restart"], [10, 3, 2, 1])[0]:
            case "use":
                await asyncio.gather(*(self.use(self.draw.choice(KME_NAMES)) for _ in range(4)))
            case "deposit":
                await self.site.deposit(256)
            case "one end":
                self.lacking.append((PEERS[kme], await self.site.deposit(256, kme)))
            case "restart":
                await self.site.stop(kme)
                await self.site.start(kme)
        if self.draw.random() < 0.4:
            await self.complete()

    async def complete(self):
        """Let the other ends of blocks come in."""
        while self.lacking:
            kme, (block_id, content) = self.lacking.pop()
            await self.site.deposit(256, kme, block_id=block_id, content=content)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))]
)
def test_random_histories_give_no_bit_twice(tmp_path, seed):
    async def story(site):
        history = History(site, seed)
        for _ in range(25):
            await history.step()
        site.fault = lambda path: None
        await history.complete()
        await site.agreed()
        assert max(history.owners.values()) == 1  # every word is one master's
        shared = [site.services[kme].stock(APPS[kme], APPS[PEERS[kme]]).bits for kme in KME_NAMES]
        assert shared[0] == shared[1]

    in_loop(tmp_path, story)


GOOD = {"peer": "bob", "size": 32, "master": "b", "slaves": ("a",)}
BAD = {
    "another peer": {"peer": "eve"},
    "given": {"given": 1},
    "a master of ours": {"master": "a"},
    "an unknown slave": {"slaves": ("z",)},
    "a slave twice": {"slaves": ("a", "a")},
    "no slave": {"slaves": ()},
    "no key": {"ids": b""},
    "half an identifier": {"ids": bytes(range(1, 9))},
    "an identifier of zeros": {"ids": bytes(16)},
    "a wrong size": {"size": 16},
    "a size of zero": {"size": 0},
    "a mask without an origin": {"mask": bytes(32)},
    "no place": {"parts": ()},
    "an unknown block": {"place": (bytes(16), 0, 32)},
    "beyond the block": {"place": (None, 624, 656)},
    "before the block": {"place": (None, -32, 0)},
    "backwards": {"place": (None, 32, 0)},
}


def test_reservations_that_cannot_be_change_nothing(tmp_path):
    async def story(site):
        block_id, _ = await site.deposit(640)
        await site.agreed()
        holdings = site.services["alice"].holdings("alice")
        sender = sender_of(site.services["bob"].holdings("bob"))

        async def is_taken(wrong):
            changes = dict(wrong)
            name, start, stop = changes.pop("place", (None, 608, 640))
            place = (block_id.bytes if name is None else name, start, stop)
            values = GOOD | {"parts": (place,), "ids": uuid4().bytes} | changes
            message = Reservations(sender, (Granted(**values),), b"")
            answer = await site.ends["alice"].answer(RESERVATIONS, packed(message))
            return msgspec.msgpack.decode(answer)[2][0]

        assert {name: await is_taken(wrong) for name, wrong in BAD.items()} == dict.fromkeys(
            BAD, False
        )
        assert holdings.free["bob"] == 640
        assert await is_taken({})
        assert holdings.free["bob"] == 608

    in_loop(tmp_path, story)


def test_an_end_withdraws_its_own_keys_only(tmp_path):
    async def story(site):
        holdings = site.services["alice"].holdings("alice")
        await site.deposit(640)
        await site.agreed()
        ids = ids_of(await site.give("bob", number=2))
        link = replace(site.ends["alice"].link, peer="eve")

        def decide(batch: Batch):
            return reserve(
                batch, link, Reservations(sender_of(holdings), (), ids[0].bytes), now=0.0
            )

        await site.services["alice"].decided(decide)
        assert len(await site.fetch("alice", ids)) == 2

    in_loop(tmp_path, story)


def test_a_message_that_is_none_is_refused(tmp_path):
    async def story(site):
        for path in (CLAIMS, RESERVATIONS):
            for body in (b"", b"\x00", b"{}", packed([1, 2]), bytes(1000)):
                with pytest.raises(ValueError, match="must be readable"):
                    await site.ends["alice"].answer(path, body)
        assert await site.ends["alice"].answer("/e91/link/v1/other", b"") is None

    in_loop(tmp_path, story)


# Over TLS, each end with its own key file alone.


def free_port():
    """Return a port with a free one 1,000 above it."""
    while True:
        with socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            try:
                other.bind(("127.0.0.1", port + 1_000))
            except (OSError, OverflowError):
                continue
            return port


def new_site_apart(folder):
    kmes = tuple(replace(kme, port=free_port()) for kme in KMES)
    new_authority(folder, AuthorityPlan(kmes, SAES, is_apart=True))
    return folder


def session_of_each(folder):
    """Make a session, and give each party a folder with its own key file alone."""
    report = run(exact_device(visibility=0.97, seed=1), rounds=1_000_000, seed=2)
    (folder / "session").mkdir()
    save_session(report, folder / "session")
    for kme, party in (("alice", "alice"), ("bob", "bob")):
        (folder / kme).mkdir()
        (folder / "session" / f"{party}.key").rename(folder / kme / f"{party}.key")
    return {kme: folder / kme for kme in KME_NAMES}


@contextmanager
def running_apart(folder, kme, *options):
    process = subprocess.Popen(
        [sys.executable, "-m", "e91", "kme", "serve", str(folder / f"kme-{kme}.toml"), "--json",
         *map(str, options)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        ready = json.loads(process.stdout.readline() or "null")
        assert ready, process.communicate()[1]
        yield process, ready
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


def client_at(folder, ready, sae, kme):
    port = int(ready["kmes"][kme].rpartition(":")[2])
    return SaeClient(port, client_context(folder, f"sae-{sae}"))


def until_given(client, slave):
    """Ask until there is a key."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        status, document = client.enc_keys(slave)
        if status == 200:
            return document
        assert status == 503
        time.sleep(0.05)
    raise AssertionError(document)


@pytest.mark.slow
def test_two_servers_share_the_key_of_a_session_whose_key_files_are_apart(tmp_path):
    folder = new_site_apart(tmp_path / "pki")
    sessions = session_of_each(tmp_path)
    with (
        running_apart(folder, "alice", "--session", sessions["alice"]) as (_, at_alice),
        client_at(folder, at_alice, "alice-app", "alice") as master,
    ):
        status, refusal = master.enc_keys()
        assert status == 503
        assert refusal["message"] == "the KME at the other end does not confirm keys"
        with (
            running_apart(folder, "bob", "--session", sessions["bob"]) as (_, at_bob),
            client_at(folder, at_bob, "bob-app", "bob") as slave,
        ):
            given = until_given(master, "bob-app")
            status, fetched = slave.dec_keys(key_ids_of(given))
            assert (status, fetched["keys"][0]["key"]) == (200, given["keys"][0]["key"])
            back = until_given(slave, "alice-app")
            status, there = master.dec_keys(key_ids_of(back), master="bob-app")
            assert (status, there["keys"][0]["key"]) == (200, back["keys"][0]["key"])
            link_port = int(at_bob["links"]["bob - alice"].rpartition(":")[2])
            for stem, expected in (("sae-alice-app", 401), ("kme-bob", 401), ("kme-alice", 400)):
                with SaeClient(link_port, client_context(folder, stem)) as other:
                    assert other.ask("POST", CLAIMS, b"nothing")[0] == expected
            with pytest.raises((ssl.SSLError, OSError)):
                SaeClient(link_port, client_context(folder)).ask("POST", CLAIMS, b"")
    assert not (sessions["alice"] / "bob.key").exists()


@pytest.mark.slow
def test_no_key_is_doubled_or_lost_when_either_server_is_killed(tmp_path):
    """Six kills under load; a key that a master has is fetched, equal, exactly once."""
    folder = new_site_apart(tmp_path / "pki")
    draw = random.Random(7)
    given, fetched, running = {}, Counter(), threading.Event()

    sessions = session_of_each(tmp_path)
    open_ends = {kme: running_apart(folder, kme, "--session", sessions[kme]) for kme in KME_NAMES}
    started = {kme: open_ends[kme].__enter__() for kme in KME_NAMES}

    def ask(kme):
        other = PEERS[kme]
        while not running.is_set():
            try:
                with client_at(folder, started[kme][1], f"{kme}-app", kme) as client:
                    while not running.is_set():
                        status, document = client.enc_keys(f"{other}-app", size=64)
                        if status == 200:
                            [key] = document["keys"]
                            given[UUID(key["key_ID"])] = kme, key["key"]
                        else:
                            time.sleep(0.02)
            except FAULTS:
                time.sleep(0.02)

    threads = [threading.Thread(target=ask, args=(kme,)) for kme in KME_NAMES for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(6):
            time.sleep(draw.uniform(0.1, 0.6))
            kme = draw.choice(KME_NAMES)
            started[kme][0].send_signal(signal.SIGKILL)
            open_ends[kme].__exit__(None, None, None)
            open_ends[kme] = running_apart(folder, kme)
            started[kme] = open_ends[kme].__enter__()
    finally:
        running.set()
        for thread in threads:
            thread.join()
    for key_id, (kme, content) in given.items():
        other = PEERS[kme]
        with client_at(folder, started[other][1], f"{other}-app", other) as client:
            status, document = client.dec_keys([str(key_id)], master=f"{kme}-app")
            assert (status, document["keys"][0]["key"]) == (200, content)
            fetched[content] += 1
    for end in open_ends.values():
        end.__exit__(None, None, None)
    assert len(fetched) == len(given) > 50
