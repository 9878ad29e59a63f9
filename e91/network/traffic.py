"""Those who want keys: requests, calls, files and encryptors, served hop by hop.

A key is taken from every link of its way at once, or from none.  Its origin releases it only when
the far end has acknowledged it; a link that falls out of trust before makes it void.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import NamedTuple

import numpy as np

from e91.network.demand import RandomRequests
from e91.network.graph import Path, Route, listed
from e91.network.history import Refill
from e91.network.key_ledger import StoredBlock
from e91.network.layout import (
    Call,
    Demand,
    ListedRequest,
    RequestList,
    Requests,
    Rotation,
    Transfer,
)
from e91.network.link_events import Simulation
from e91.network.relaying import join_shares, relay
from e91.network.resident_stores import ResidentStores
from e91.network.rules import FewestHops

HOP_S = 1e-3
"""Time that a message takes over one link, relay included; assumed."""

_CHUNK_BITS = 2**16  # of a file, for which key is asked at once


class InFlight(NamedTuple):
    """A key on its way.

    Attributes:
        acknowledged_s: When it is delivered.
        links: Its way.
        bits: Its length.
        request: Whose it is; None of random requests, which are served as soon as they come.
        is_betrayed: Whether Eve gets it from dishonest relays.
        is_unequal: Whether the two ends hold different keys.
        number: Of the key where the stores are with workers; None elsewhere.
    """

    acknowledged_s: float
    links: Path
    bits: int
    request: "Asked | None"
    is_betrayed: bool
    is_unequal: bool
    number: int | None = None


class Together(NamedTuple):
    """Random requests of a second that were served at its beginning, all at once.

    Attributes:
        begin_s: When the second begins.
        process: What they come from.
        pairs: The sites that ask, and those that they want a key with.
        needed: Bits that each link gave.
        hops: Links that their keys used, in sum.
        most_before: Most hops of a key before.
    """

    begin_s: float
    process: RandomRequests
    pairs: tuple[np.ndarray, np.ndarray]
    needed: np.ndarray
    hops: int
    most_before: int


@dataclass(frozen=True)
class DeliveredKey:
    """A key that both its users have.

    Attributes:
        time_s: When it was taken from the stores.
        acknowledged_s: When its origin knows that the far end has it, unless it becomes void
            before.
        bits: Its length.
        route: Its way: the relays that knew it, the weakest security model, the sum of the failure
            probabilities of the distinct blocks that it rests on, the bottleneck.
        rests_on: These blocks, each with the number of its link.
        age_s: Of the oldest bits that it was padded with.
        at_source: The key as a number, or None at depths that draw none.
        at_target: The same at the other end.
    """

    time_s: float
    acknowledged_s: float
    bits: int
    route: Route
    rests_on: tuple[tuple[int, StoredBlock], ...]
    age_s: float
    at_source: int | None = field(repr=False)
    at_target: int | None = field(repr=False)


@dataclass(eq=False)
class Asked:
    """A request of a call, a file or an encryptor, or one that no route could serve when it came.

    Attributes:
        source: Number of the site that asks.
        target: The other.
        bits: Of the key.
        deadline_s: When it is missed.
        done: What is called with the time at which it is served, and True; or False if it is
            missed, or its key becomes void on its way; None for nobody.
        received: What is given its key, just before; None for nobody.
        counts: Whether it is a user's: an encryptor's refill is not.
        is_late: Whether it had to wait.
        settled: Whether it was served or missed.
    """

    source: int
    target: int
    bits: int
    deadline_s: float
    done: Callable[[float, bool], None] | None = None
    received: Callable[[DeliveredKey], None] | None = None
    counts: bool = True
    is_late: bool = False
    settled: bool = False


@dataclass(eq=False)
class Traffic:
    """The demand of a network.

    Attributes:
        simulation: The links.
        random: The Poisson processes.
        real: Whether keys are real bytes, padded from hop to hop.
        stores: The workers that hold the bytes of all links, if they are not here.
        together: Whether requests of a second may be served at once where the result is the same.
        listener: Is given every delivered key, if there is one.
        last_path: Way of the last key between two sites that call or rotate.
    """

    simulation: Simulation
    random: list[RandomRequests]
    real: bool
    stores: ResidentStores | None = None
    together: bool = True
    listener: Callable[[DeliveredKey], None] | None = None
    last_path: dict[tuple[int, int], Path | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._done = self.simulation.history.delivered
        self._sleepers: dict[int, list[Asked]] = {}
        self._waiting: list[tuple[float, int, Asked]] = []  # a heap, by deadline
        self._numbers = count()
        self._together: Together | None = None
        self._flying: deque[InFlight] = deque()
        self._arrivals: list[tuple[float, int, int, int]] = []
        self._listed: list[tuple[float, int, int, int]] = []  # of files, the next one last
        counts = not self.real and self.stores is None
        self._aggregates = counts and self._all_users_keep_one_way()

    # Requests at random.

    def second(self, now_s: float) -> None:
        """A second begins: its random requests are drawn; those of the last one are done."""
        self._arrivals, self._together = [], None
        self._give_up(now_s)
        if self.stores is not None:
            self.stores.send()
            self._done.unequal = self.stores.unequal
        if now_s < 0:
            return
        arrivals: list[tuple[float, int, int, int]] = []
        for process in self.random:
            sources, targets = process.second()
            if not self._serve_together(now_s, process, sources, targets):
                arrivals += _arrivals(now_s, process, sources, targets)
        while self._listed and self._listed[-1][0] < now_s + 1:
            arrivals.append(self._listed.pop())
        arrivals.sort()
        self._arrivals = arrivals[::-1]

    def serve_until(self, time_s: float) -> None:
        """Serve the random requests that come up to a time, in their order."""
        arrivals, find = self._arrivals, self.simulation.router.find
        while arrivals and arrivals[-1][0] <= time_s:
            now_s, source, target, bits = arrivals.pop()
            path = find(source, target, bits)
            if path is None:
                self._wait(Asked(source, target, bits, now_s + self._patience))
            else:
                self._deliver(now_s, source, target, path, bits)

    @property
    def _patience(self) -> float:
        return self.simulation.plan.patience_s

    def _all_users_keep_one_way(self) -> bool:
        graph = self.simulation.graph
        if not isinstance(self.simulation.router, FewestHops):
            return False
        users = {int(user) for process in self.random for user in process.users}
        return not graph.direct and all(
            len(graph.homes[user]) == 1 and not graph.relays[user] for user in users
        )

    def _serve_together(
        self, now_s: float, process: RandomRequests, sources: np.ndarray, targets: np.ndarray
    ) -> bool:
        """Serve a second's requests at once if every store covers all of them.

        The order inside the second cannot matter then, so that the result is that of serving them
        one by one: by a rule that keeps its routes, and unless a link comes or goes within the
        second (`changing`).
        """
        quiet = self._aggregates and not self._sleepers and len(self.random) == 1
        quiet = quiet and self.together and self.listener is None and not self._listed
        quiet = quiet and not self.simulation.history.dishonest
        if not quiet or not len(sources):
            return False
        bits = process.wanted.key_bits
        needed, hops, most = self._needed(sources, targets, bits)
        if needed is None:
            return False
        ledger, router = self.simulation.ledger, self.simulation.router
        spare = np.array(ledger.stored) - np.array(router.floors)
        if (spare < needed)[needed > 0].any():
            return False
        most_before = self._done.most_hops
        self._together = Together(now_s, process, (sources, targets), needed, hops, most_before)
        self._enter(self._together, 1)
        self._done.most_hops = max(most_before, most)
        return True

    def _enter(self, together: Together, sign: int) -> None:
        """Enter the keys of a second, or take them back."""
        ledger, asked = self.simulation.ledger, len(together.pairs[0])
        for link in np.flatnonzero(together.needed).tolist():
            amount = sign * int(together.needed[link])
            ledger.stored[link] -= amount
            ledger.spent[link] += amount
        self._done.served += sign * asked
        self._done.deliveries += sign * asked
        self._done.bits += sign * together.process.wanted.key_bits * asked
        self._done.hops += sign * together.hops

    def changing(self, now_s: float) -> None:
        """A link is about to come or go: what was served ahead is served one by one instead."""
        together, self._together = self._together, None
        if together is not None:
            self._enter(together, -1)
            self._done.most_hops = together.most_before
            self._arrivals = _arrivals(together.begin_s, together.process, *together.pairs)[::-1]
            self.serve_until(now_s)

    def _needed(
        self, sources: np.ndarray, targets: np.ndarray, bits: int
    ) -> tuple[np.ndarray | None, int, int]:
        """Return the bits that every link must give, the hops in sum and the most of one key."""
        graph, find = self.simulation.graph, self.simulation.router.find
        needed = np.zeros(len(graph.links), np.int64)
        pairs = self._groups[sources] * self._group_count + self._groups[targets]
        counts = np.bincount(pairs, minlength=self._group_count**2)
        example = np.zeros(len(counts), np.intp)
        example[pairs] = np.arange(len(pairs))
        hops, most = 2 * len(sources), 0
        kinds = np.flatnonzero(counts)
        for place, asked in zip(example[kinds].tolist(), counts[kinds].tolist(), strict=True):
            path = find(int(sources[place]), int(targets[place]), bits)
            if path is None or len(path) < 2:
                return None, 0, 0
            between = path[1:-1]
            for link in between:
                needed[link] += bits * asked
            hops += len(between) * asked
            most = max(most, len(path))
        access = np.bincount(
            self._access[np.concatenate([sources, targets])], minlength=len(needed)
        )
        return needed + bits * access, hops, most

    @cached_property
    def _group_count(self) -> int:
        return int(self._groups.max()) + 1

    @cached_property
    def _groups(self) -> np.ndarray:
        return np.asarray(self.simulation.graph.group)

    @cached_property
    def _access(self) -> np.ndarray:
        homes = self.simulation.graph.homes
        return np.array([home[0][1][0] if home and home[0][1] else -1 for home in homes])

    # One request.

    def ask(self, wanted: Asked, *, now_s: float) -> None:
        """Ask for a key."""
        path = self.simulation.router.find(wanted.source, wanted.target, wanted.bits)
        self._note_way(now_s, wanted, path)
        if path is None:
            self._wait(wanted)
        else:
            self._serve(now_s, wanted, path)

    def _serve(self, now_s: float, wanted: Asked, path: Path) -> None:
        wanted.settled = True
        self._deliver(now_s, wanted.source, wanted.target, path, wanted.bits, request=wanted)
        if wanted.done is not None:
            wanted.done(now_s, True)

    def _wait(self, request: Asked) -> None:
        request.is_late = True
        self._done.waiting += request.counts
        if request.deadline_s < math.inf:
            waits = request.deadline_s, next(self._numbers), request
            heapq.heappush(self._waiting, waits)
        self._sleep(request)

    def _sleep(self, request: Asked) -> None:
        """Let a request sleep on links that lack bits; with none of them, until one comes up."""
        lacking = self.simulation.router.lacking(request.source, request.target, request.bits)
        for link in lacking or (-1,):
            self._sleepers.setdefault(link, []).append(request)

    def refilled(self, link: int, now_s: float) -> None:
        """A link has more key: wake what waits for it."""
        self._wake(self._sleepers.pop(link, []) + self._sleepers.pop(-1, []), now_s)

    def rose(self, now_s: float) -> None:
        """Links are back: wake all that waits, as it may go there."""
        sleepers, self._sleepers = self._sleepers, {}
        self._wake(
            dict.fromkeys(request for of_link in sleepers.values() for request in of_link), now_s
        )

    def _wake(self, requests: Iterable[Asked], now_s: float) -> None:
        """Serve what can be served now, miss what is too late, and let the rest sleep."""
        for request in requests:
            if request.settled:
                continue
            if request.deadline_s < now_s:
                self._miss(request)
                continue
            path = self.simulation.router.find(request.source, request.target, request.bits)
            if path is None:
                self._sleep(request)
                continue
            self._done.waiting -= request.counts
            if request.done is not None:
                self._note_way(now_s, request, path)
            self._serve(now_s, request, path)

    def _give_up(self, now_s: float) -> None:
        """Count the requests that have waited too long."""
        waiting = self._waiting
        while waiting and (waiting[0][-1].settled or waiting[0][0] < now_s):
            _, _, request = heapq.heappop(waiting)
            if not request.settled:
                self._miss(request)
        if not waiting and self._sleepers:
            awake = {
                link: [request for request in asleep if not request.settled]
                for link, asleep in self._sleepers.items()
            }
            self._sleepers = {link: asleep for link, asleep in awake.items() if asleep}

    def _miss(self, request: Asked) -> None:
        request.settled = True
        self._done.waiting -= request.counts
        self._done.missed += request.counts
        if request.done is not None:
            request.done(request.deadline_s, False)

    def _deliver(
        self,
        now_s: float,
        source: int,
        target: int,
        path: Path,
        bits: int,
        *,
        request: Asked | None = None,
    ) -> None:
        """Take a key from every link of its way, and let it go there."""
        simulation = self.simulation
        stored, spent = simulation.ledger.stored, simulation.ledger.spent
        asked = None if request is None else request.received
        listeners = [listener for listener in (self.listener, asked) if listener is not None]
        rests_on = self._rests_on(path, bits) if listeners else []
        for link in path:
            stored[link] -= bits
            spent[link] += bits
        betrayed = bool(simulation.history.dishonest) and self._is_betrayed(source, target, path)
        ends = self._pass_on(source, target, path, bits) if self.real else None
        number = None if self.stores is None else self.stores.take(path, bits)
        flying = self._flying
        while flying and flying[0].acknowledged_s <= now_s:
            flying.popleft()
        unequal = ends is not None and ends[0] != ends[1]
        known_s = now_s + 2 * len(path) * HOP_S
        key = InFlight(known_s, path, bits, request, betrayed, unequal, number)
        flying.append(key)
        self._count(key, 1)
        if listeners:
            news = self._described(now_s, (source, target), key, rests_on, ends or (None, None))
            for listener in listeners:
                listener(news)

    def _count(self, key: InFlight, sign: int) -> None:
        """Count a key as delivered, or take that back."""
        done, hops = self._done, len(key.links)
        if key.request is None or key.request.counts:
            done.served += sign
            done.late += sign * (key.request is not None and key.request.is_late)
        done.deliveries += sign
        done.hops += sign * hops
        done.bits += sign * key.bits
        done.betrayed += sign * key.is_betrayed
        done.unequal += sign * key.is_unequal
        done.most_hops = max(done.most_hops, hops)

    def _is_betrayed(self, source: int, target: int, path: Path) -> bool:
        """Whether every strand of a key has a relay that tells Eve."""
        graph = self.simulation.graph
        route = graph.route(source, target, path, stores=self.simulation.ledger.stored)
        return all(self.simulation.history.dishonest.intersection(way) for way in route.trusts)

    def _pass_on(self, source: int, target: int, path: Path, bits: int) -> tuple[int, int]:
        """Send real bits hop by hop under one-time pad; return the key at both ends."""
        simulation, sent, arrived = self.simulation, [], []
        for strand in simulation.graph.strands(source, target, path):
            at, pads = source, []
            for link in strand:
                one, other = simulation.graph.ends[link]
                pads.append(simulation.pools[link].take(bits, backwards=at == other))
                at = other if at == one else one
            done = relay(pads)
            sent.append(done.sent)
            arrived.append(done.delivered)
        return join_shares(sent), join_shares(arrived)

    def _rests_on(self, path: Path, bits: int) -> list[tuple[int, StoredBlock]]:
        """Return the blocks that a key's pads come from, with their links."""
        stored = self.simulation.ledger.stored
        return [
            (link, block)
            for link in path
            for block in self.simulation.pools[link].next_blocks(bits, stored=stored[link])
        ]

    def _described(
        self,
        now_s: float,
        sites: tuple[int, int],
        key: InFlight,
        rests_on: list[tuple[int, StoredBlock]],
        ends: tuple[int | None, int | None],
    ) -> DeliveredKey:
        """Return a key with where it comes from."""
        lives = self.simulation.lives
        policies = [life.practice.policy if life.practice else None for life in lives]
        route = self.simulation.graph.route(
            *sites,
            key.links,
            stores=self.simulation.ledger.stored,
            models=[policy.security if policy else None for policy in policies],
            blocks=[
                (link, block.number, policy.epsilon)
                for link, block in rests_on
                if (policy := policies[link]) is not None
            ],
        )
        oldest = min((block.made_s for _, block in rests_on), default=now_s)
        return DeliveredKey(
            now_s,
            key.acknowledged_s,
            key.bits,
            route,
            tuple(rests_on),
            now_s - oldest,
            *ends,
        )

    def fell(self, links: list[int], now_s: float) -> None:
        """Make the keys void that are on their way over links that fell."""
        bad, kept, void = set(links), deque[InFlight](), list[InFlight]()
        for key in self._flying:
            if key.acknowledged_s > now_s and bad.intersection(key.links):
                self.simulation.ledger.void(key.links, key.bits)
                self._count(key, -1)
                void.append(key)
            else:
                kept.append(key)
        self._flying = kept
        for key in void:
            if self.stores is not None and key.number is not None:
                self.stores.void(key.number)
            self._done.missed += key.request is None or key.request.counts
            if key.request is not None and key.request.done is not None:
                key.request.done(now_s, False)

    def settle(self) -> None:
        """Wait for what workers have to say of delivered keys."""
        if self.stores is not None:
            self.stores.settle()
            self._done.unequal = self.stores.unequal

    def _note_way(self, now_s: float, wanted: Asked, path: Path | None) -> None:
        """Note that a call goes another way than before, or none."""
        source, target, bits = wanted.source, wanted.target, wanted.bits
        known = (source, target) in self.last_path
        if known and self.last_path[source, target] == path:
            return
        before, self.last_path[source, target] = self.last_path.get((source, target)), path
        graph, history = self.simulation.graph, self.simulation.history
        ends = graph.sites[source], graph.sites[target]
        history.note_way(graph.way(now_s, (source, target), (before, path), of_relays=False))
        by = "find no way"
        if lacking := path is None and self.simulation.router.lacking(source, target, bits):
            links = [graph.links[link] for link in lacking]
            by += f" before {listed(links, 'or')} has more key"
        if path is not None:
            route = graph.route(source, target, path, stores=self.simulation.ledger.stored)
            by = f"go by {_by(route.trusts)}"
        history.routes_changed += known
        history.note(now_s, "way", "-".join(ends), f"Keys from {ends[0]} to {ends[1]} {by}.")

    # Calls, files, encryptors.

    def begin(self, demand: tuple[Demand, ...]) -> None:
        """Put the calls, files and encryptors of a plan on the calendar."""
        for wanted in demand:
            match wanted:
                case Call():
                    self.simulation.at(wanted.start_s, self._call, (wanted, 0))
                case Transfer():
                    self.simulation.at(wanted.start_s, self._transfer, (wanted, wanted.bits))
                case Rotation():
                    encryptors = Encryptors(self, wanted)
                    self.simulation.at(0.0, encryptors.change, None)
                case RequestList():
                    self._listed += [
                        (request.time_s, *self._ends(request), request.bits)
                        for request in wanted.requests
                    ]
                case Requests():
                    pass
        self._listed.sort(reverse=True)

    def _ends(self, wanted: Call | Transfer | Rotation | ListedRequest) -> tuple[int, int]:
        number = self.simulation.graph.site_number
        return number[wanted.source], number[wanted.target]

    def _call(self, now_s: float, call: tuple[Call, int]) -> None:
        """Ask for the key of a call's next seconds, and come again when they are over."""
        wanted, number = call
        if now_s >= wanted.end_s:
            return
        upto = round((number + 1) * wanted.chunk_s * wanted.bits_per_second)
        bits = upto - round(number * wanted.chunk_s * wanted.bits_per_second)
        source, target = self._ends(wanted)
        if bits:
            self.ask(Asked(source, target, bits, now_s + self._patience), now_s=now_s)
        self.simulation.at(
            wanted.start_s + (number + 1) * wanted.chunk_s, self._call, (wanted, number + 1)
        )

    def _transfer(self, now_s: float, transfer: tuple[Transfer, int]) -> None:
        """Ask for the key of a file's next part, and for the one after when it is there.

        A part whose key becomes void is asked for again.
        """
        wanted, left = transfer
        bits = min(left, _CHUNK_BITS)

        def done(time_s: float, served: bool) -> None:
            following = left - bits if served else bits
            if following:
                self.simulation.at(time_s, self._transfer, (wanted, following))

        self.ask(Asked(*self._ends(wanted), bits, math.inf, done), now_s=now_s)


@dataclass(eq=False)
class Encryptors:
    """Two encryptors that change their key at fixed times, with a store of keys of their own.

    Attributes:
        traffic: Where they ask for keys.
        wanted: How often, and how large their store is.
        keys: In their store.
        refilling: Whether keys are on their way.
    """

    traffic: Traffic
    wanted: Rotation
    keys: int = field(init=False)
    refilling: bool = False

    def __post_init__(self) -> None:
        self.keys = self.wanted.store_keys
        self._done = self.traffic.simulation.history.delivered

    def change(self, now_s: float, _: object) -> None:
        """Change the key: from the store, or from the network if there is none."""
        simulation = self.traffic.simulation
        if not self.wanted.store_keys:
            self._ask(now_s, 1, deadline_s=now_s + simulation.plan.patience_s)
        elif self.keys:
            self.keys -= 1
            self._done.served += 1
        else:
            self._done.missed += 1
        if self.keys <= self.wanted.refill_at and self.wanted.store_keys and not self.refilling:
            self.refilling = True
            self._ask(now_s, self.wanted.store_keys - self.keys, deadline_s=math.inf)
        simulation.at(now_s + self.wanted.every_s, self.change, None)

    def _ask(self, now_s: float, keys: int, *, deadline_s: float) -> None:
        refills = bool(self.wanted.store_keys)

        def done(came_s: float, served: bool) -> None:
            self.refilling = False
            if refills and served:
                refill = Refill(now_s, came_s, keys, before=self.keys)
                self.traffic.simulation.history.refills.append(refill)
                self.keys += keys
            elif refills:  # void: they are not used
                self.keys = max(0, self.keys - keys)

        bits = keys * self.wanted.key_bits
        ends = self.traffic._ends(self.wanted)
        self.traffic.ask(Asked(*ends, bits, deadline_s, done, counts=not refills), now_s=now_s)


def _arrivals(
    begin_s: float, process: RandomRequests, sources: np.ndarray, targets: np.ndarray
) -> list[tuple[float, int, int, int]]:
    """Return the requests of a second one by one, in the order of time."""
    times = process.times(round(begin_s), len(sources)) + begin_s
    bits = [process.wanted.key_bits] * len(times)
    return list(zip(times.tolist(), sources.tolist(), targets.tolist(), bits, strict=True))


def _by(trusts: tuple[tuple[str, ...], ...]) -> str:
    return " and ".join(", ".join(relays) or "no relay" for relays in trusts)
