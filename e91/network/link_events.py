"""The links of a network in simulated time: light, blocks, alarms, stores, incidents.

Every change of a link's light, every block that ends, every request is an event; between events
nothing changes.  All randomness is each link's own, so that a run is the same on any number of
workers, to the last event.
"""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations, count
from typing import Any, Protocol

import numpy as np

from e91.model.settings import EKERT
from e91.network import fluid
from e91.network.blocks import BlockOrder, BlockOutcome, order
from e91.network.demand import RandomRequests
from e91.network.graph import Graph, Path
from e91.network.history import Alarmed, History
from e91.network.key_ledger import Ledger, Pool
from e91.network.layout import Incident, IncidentKind, NetworkPlan, RateMode
from e91.network.light import Quality, pair_tables, quality_of
from e91.network.link_life import BlockInWork, Condition, LinkLife
from e91.network.rules import Router
from e91.network.weather import Weather
from e91.system.documents import did_you_mean

Handler = Callable[[float, Any], None]


_SETTLING_S = 60.0  # for which routes are watched after a link came or went


class BlockMaker(Protocol):
    """How blocks are made: bit by bit, or their counts only."""

    def begin(self, wanted: BlockOrder) -> Any:
        """Hand out the order for a block."""

    def outcome(self, begun: Any) -> BlockOutcome:
        """Return what became of it."""

    def restart(self, link: int) -> None:
        """Begin a link's alarm anew."""

    def keep(self, begun: Any, bits: int) -> None:
        """Let the key of a block go into its link's store, if it was not with the outcome."""

    def drop(self, begun: Any) -> None:
        """Give a block up, with its key."""

    def empty(self, link: int) -> None:
        """Throw away what is stored of a link's key, if it was not with the outcomes."""

    def close(self) -> None:
        """End what it holds."""


class Users(Protocol):
    """Those who want keys: what the links tell them.

    Attributes:
        random: Requests at random.
    """

    random: list[RandomRequests]

    def second(self, now_s: float) -> None:
        """A second begins."""

    def refilled(self, link: int, now_s: float) -> None:
        """A link has more key than before."""

    def changing(self, now_s: float) -> None:
        """Links are about to come or go, or relays to turn."""

    def rose(self, now_s: float) -> None:
        """Links are in service again."""

    def fell(self, links: list[int], now_s: float) -> None:
        """Links are out of service: keys on their way over them are void."""

    def serve_until(self, time_s: float) -> None:
        """Serve the requests that come up to a time."""

    def settle(self) -> None:
        """Wait for what other processes have to say of delivered keys."""


@dataclass(eq=False)
class Turns:
    """A receiver and the links that it serves, one after the other.

    Attributes:
        links: By number.
        switch_s: Time that a turn of the switch takes.
        next: Place of the link whose turn is next.
        idle: Whether no link wants to be served.
    """

    links: list[int]
    switch_s: float
    next: int = 0
    idle: bool = True


class Simulation:
    """The links of a network and their stores while time passes.

    Attributes:
        plan: The network.
        graph: It by numbers.
        lives: Its links.
        ledger: Where every bit is.
        pools: The key itself.
        router: Which way a key goes.
        rule: The name of its rule.
        false_alarm: Probability that an alarm ever rings while its link keeps its promise.
        history: What happened.
        weather: What changes by the plan.
        users: Those who want keys.
        watch: What is called with a link when a block of it, or a published rate's second, is over.
        now_s: Simulated time; a run begins before zero, with the filling of the stores.

    Examples:
        >>> from e91.network import begin, load
        >>> simulation = begin(load("tokyo-2010"), seed=1)
        >>> simulation.advance(30.0)
        >>> simulation.now_s, simulation.ledger.is_conserved
        (30.0, True)
        >>> simulation.close()
    """

    users: Users

    def __init__(
        self,
        plan: NetworkPlan,
        lives: list[LinkLife],
        *,
        maker: BlockMaker,
        router: Callable[[Graph, list[int]], Router],
        rule: str,
        seed: int | None,
        false_alarm: float,
    ) -> None:
        self.rule, self.false_alarm = rule, false_alarm
        self.plan, self.lives, self.seed = plan, lives, seed
        self.graph = Graph.of(plan)
        self.ledger = Ledger.of(len(lives))
        self.pools = [Pool() for _ in lives]
        self.router = router(self.graph, self.ledger.stored)
        self.history, self.weather = History(), Weather(plan)
        self.watch: Callable[[LinkLife], None] = lambda _: None
        self.now_s = -plan.store_s if plan.rate is RateMode.SIMULATED else 0.0
        self._maker = maker
        self._heap: list[tuple[float, int, Handler, Any]] = []
        self._numbers = count()
        self._routes: dict[tuple[int, int], Path | None] = {}
        self._unsettled_s = 0.0
        self._turns = _turns_of(plan)
        self._turn_of = {link: turns for turns in self._turns for link in turns.links}
        self._levels = np.zeros(len(lives), np.int64)
        self._limits = np.array([life.store_limit if life.light else 0.0 for life in lives])
        self._fluid = [life for life in lives if life.light is None]

    def start(self, users: Users) -> None:
        """Begin with those who want keys: put on the calendar what is known beforehand.

        Args:
            users: Those who want keys.
        """
        self.users = users
        self.at(float(math.floor(self.now_s)), self._tick, None)
        for life in self._fluid:
            self._pour(life, fluid.initial_bits(life, store_s=self.plan.store_s))
        for life in self.lives:
            if self.weather.changes(life.plan.name) and life.light is not None:
                self.at(self.now_s, self._look, life)
        # One that begins as another ends comes after it.
        for incident in self.plan.incidents:
            if incident.end_s < math.inf:
                self.at(incident.end_s, self._end_incident, incident)
        for incident in self.plan.incidents:
            self.at(incident.start_s, self._begin_incident, incident)

    def at(self, time_s: float, handler: Handler, what: Any) -> None:
        """Let something happen at a time; what is put there first happens first.

        Args:
            time_s: Simulated seconds.
            handler: Called with the time and ``what``.
            what: Passed on to ``handler``.
        """
        heapq.heappush(self._heap, (time_s, next(self._numbers), handler, what))

    def advance(self, until_s: float) -> None:
        """Let time pass, up to but not including what happens at ``until_s``.

        Raises:
            ValueError: It lies before the present, or is infinite.
        """
        if not self.now_s <= until_s < math.inf:
            raise ValueError(
                f"`until_s` must not lie before the present, {self.now_s:g} s, and be finite, but "
                f"is {until_s:g}."
            )
        heap, users = self._heap, self.users
        while heap[0][0] < until_s:
            time_s, _, handler, what = heap[0]
            users.serve_until(time_s)
            heapq.heappop(heap)
            self.now_s = time_s
            handler(time_s, what)
        users.serve_until(until_s)
        self.now_s = until_s

    def close(self) -> None:
        """End the workers."""
        self._maker.close()

    # Receivers and blocks.

    def _serve(self, now_s: float, turns: Turns) -> None:
        """Let a receiver that is free begin a block of the next link that wants one."""
        for step in range(len(turns.links)):
            place = (turns.next + step) % len(turns.links)
            life = self.lives[turns.links[place]]
            if life.block is None and self._wants_block(life):
                turns.next, turns.idle = (place + 1) % len(turns.links), False
                begin_s = now_s + (turns.switch_s if len(turns.links) > 1 else 0.0)
                self._hand_out(life, life.begin(begin_s))
                return
        turns.idle = True

    def _wants_block(self, life: LinkLife) -> bool:
        """Whether a link's light comes, and its store has room or it is on trial."""
        return life.shines and not self.is_full(life)

    def is_full(self, life: LinkLife) -> bool:
        """Return whether a link's store was full when the second began; on trial, it never is.

        Args:
            life: The link's.
        """
        return bool(self._levels[life.index] >= self._limits[life.index])

    def _hand_out(self, life: LinkLife, block: BlockInWork) -> None:
        assert life.practice is not None
        block.begun = self._maker.begin(
            order(
                life.index, block.number, block.all_pieces, practice=life.practice, seed=self.seed
            )
        )
        self.at(block.end_s, self._end_block, (life, block))

    def _end_block(self, now_s: float, ended: tuple[LinkLife, BlockInWork]) -> None:
        life, block = ended
        if life.block is not block or block.end_s != now_s:
            return  # its light changed, so that it ends at another time, or never
        life.block = None
        if not self._judge(now_s, life, block, self._maker.outcome(block.begun)):
            self._maker.drop(block.begun)
        self.watch(life)
        self._serve(now_s, self._turn_of[life.index])

    def _judge(
        self, now_s: float, life: LinkLife, block: BlockInWork, outcome: BlockOutcome
    ) -> bool:
        """Ask the alarm first, and release the block's key only then; return whether that is so."""
        assert outcome.watched is not None
        life.last, history = outcome, self.history
        history.blocks += 1
        history.rounds += outcome.rounds
        if outcome.abort is not None:
            name = outcome.abort.name
            history.aborts[name] = history.aborts.get(name, 0) + 1
        if life.rang:
            self._on_trial(life, outcome)
        elif outcome.watched.rang:
            cause = outcome.watched.cause
            self._ring(now_s, life, outcome.bits, cause=cause.name if cause else "no cause yet")
        elif outcome.bits:
            self._store(now_s, life, block, outcome)
            return True
        return False

    def _store(
        self, now_s: float, life: LinkLife, block: BlockInWork, outcome: BlockOutcome
    ) -> None:
        """Put a block's key into the stores at both ends: whole bytes, the rest is lost."""
        link, bits = life.index, outcome.bits
        if life.eve is not None:
            life.released_bits += bits
        self.ledger.make(link, bits)
        if bits % 8:
            self.ledger.lose(link, bits % 8, reason="rounding")
        whole = bits - bits % 8
        self._maker.keep(block.begun, whole)
        self.pools[link].put(whole, now_s=now_s, number=block.number, key=outcome.key)
        self.users.refilled(link, now_s)

    # The alarm.

    def _ring(self, now_s: float, life: LinkLife, unreleased: int, *, cause: str) -> None:
        """Stop a link: its block is thrown away, and its store if the plan says so."""
        self.users.changing(now_s)
        link, name = life.index, life.plan.name
        keeps = self.plan.keep_store_after_alarm
        lost = unreleased + (0 if keeps else self.ledger.stored[link])
        reason = cause.lower().replace("_", " ")
        released = 0 if life.attacked_s is None else life.released_bits
        self.history.alarms.append(Alarmed(name, now_s, life.attacked_s, reason, lost, released))
        words = f"The alarm of {name} rings ({reason}): {lost:,} bits are thrown away."
        words += "".join(f" {user} is informed." for user in self._users_on(life))
        self.history.note(now_s, "alarm", name, words, value=lost)
        life.rang, life.good = True, 0
        self._limits[link] = math.inf
        self._restart(life)
        self._fall([link], now_s)
        self.ledger.make(link, unreleased)
        self.ledger.lose(link, lost, reason="alarm")
        if not keeps:
            self._maker.empty(link)
            self.pools[link].drop()

    def _users_on(self, life: LinkLife) -> list[str]:
        """The users at the ends of a link: their keys go over it, or not at all."""
        users = {user.name for user in self.plan.users}
        return [end for end in life.plan.ends if end in users]

    def _on_trial(self, life: LinkLife, outcome: BlockOutcome) -> None:
        """Count the good blocks of a link that rang; their key is thrown away all the same."""
        assert outcome.watched is not None
        self.ledger.make(life.index, outcome.bits)
        self.ledger.lose(life.index, outcome.bits, reason="on trial")
        if outcome.watched.rang or outcome.abort is not None:
            life.good = 0
            self._restart(life)
            return
        life.good += 1
        if 0 < self.plan.good_blocks <= life.good:
            self.clear(life.plan.name)

    def _restart(self, life: LinkLife) -> None:
        """Begin the test of a link's alarm anew."""
        life.forget_past_attack()
        if life.practice is not None:
            self._maker.restart(life.index)

    def clear(self, link: str) -> None:
        """Take a link back into service whose alarm rang.

        Args:
            link: Name of the link.
        """
        life = self._life(link)
        if life.rang:
            life.rang = False
            self._limits[life.index] = life.store_limit
            words = f"{link} is back in service after {life.good} good blocks."
            self.history.note(self.now_s, "back", link, words)
            self._rise([life.index])

    def _fall(self, links: list[int], now_s: float) -> None:
        """Take links out of the routes."""
        self.users.changing(now_s)
        for link in links:
            self.router.switch(link, up=False)
        self.users.fell(links, now_s)
        self._unsettled_s = now_s + _SETTLING_S

    def _rise(self, links: list[int]) -> None:
        """Let routes use links again that nothing else keeps out."""
        self.users.changing(self.now_s)
        for link in links:
            life = self.lives[link]
            if life.condition is Condition.UP and not life.dead_ends:
                self.router.switch(link, up=True)
        self.users.rose(self.now_s)
        self._unsettled_s = self.now_s + _SETTLING_S

    def routes_between_relays(self) -> dict[tuple[int, int], Path | None]:
        """Return the way that keys take now between any two relays, of the first 64."""
        relays = [site for site, relays in enumerate(self.graph.relays) if relays][:64]
        return {pair: self.router.find(*pair, 1) for pair in combinations(relays, 2)}

    def _note_routes(self, now_s: float) -> None:
        """Note which routes between relays have changed since links came or went."""
        routes, before = self.routes_between_relays(), self._routes
        changed = [pair for pair, route in routes.items() if route != before.get(pair)]
        self._routes = routes
        if before and changed:
            self.history.routes_changed += len(changed)
            for pair in changed:
                ways = before.get(pair), routes[pair]
                self.history.note_way(self.graph.way(now_s, pair, ways, of_relays=True))
            pairs = "a pair" if len(changed) == 1 else f"{len(changed)} pairs"
            words = f"Keys between {pairs} of relays take another way."
            self.history.note(now_s, "route", "", words, value=len(changed))

    # Links with published rates.

    def _flow(self, now_s: float, life: LinkLife) -> None:
        """Let a published rate flow for a second, past the test of its error rate."""
        if now_s <= 0 or life.is_cut:
            return
        done = fluid.second_of(life, now_s)
        life.tested = done.errors
        if life.rang:
            self._on_trial_fluid(life, done)
        elif done.rings:
            self._ring(now_s, life, done.bits, cause="error rate")
        else:
            self._pour(life, done.bits)
        life.forget_past_attack()  # every second is tested for itself
        self.watch(life)

    def _on_trial_fluid(self, life: LinkLife, done: fluid.Second) -> None:
        self.ledger.make(life.index, done.bits)
        self.ledger.lose(life.index, done.bits, reason="on trial")
        life.good = 0 if done.rings else life.good + 1
        if 0 < self.plan.good_blocks <= life.good:
            self.clear(life.plan.name)

    def _pour(self, life: LinkLife, bits: int) -> None:
        if bits:
            self.ledger.make(life.index, bits)
            self.pools[life.index].put(bits, now_s=self.now_s, number=life.number, key=None)
            life.number += 1
            self.users.refilled(life.index, self.now_s)

    # What happens to links.

    def _life(self, link: str) -> LinkLife:
        """Return a link by its name.

        Raises:
            ValueError: There is none of that name.
        """
        if link not in self.graph.link_number:
            hint = did_you_mean(link, self.graph.links)
            raise ValueError(f"`link` must be a link of the network, but {link!r} is none{hint}")
        return self.lives[self.graph.link_number[link]]

    def _look(self, now_s: float, life: LinkLife) -> None:
        """Let a link's light be what the plan says for now."""
        self.relight(life)
        self.at(self.weather.next_look_s(life.plan.name, now_s), self._look, life)

    def relight(self, life: LinkLife) -> None:
        """Give a link the light that plan and adversary make now.

        Args:
            life: The link's.
        """
        if life.light is None:
            return
        state = self.weather.state(life.plan.name, self.now_s)
        if life.eve is not None:
            state = replace(state, attack=life.eve[0], strength=life.eve[1])
        assert life.practice is not None
        quality = quality_of(life.plan, life.light, state, settings=life.practice.settings)
        if life.is_cut or life.dark:
            quality = replace(quality, per_second=0.0)
        if life.quality is quality:
            return
        life.quality = quality
        self._go_on(life, quality)

    def _go_on(self, life: LinkLife, quality: Quality) -> None:
        """Let the block in work, or the receiver that waits, see other light."""
        block, turns = life.block, self._turn_of[life.index]
        if block is None:
            if turns.idle:
                self._serve(self.now_s, turns)
            return
        if block.begun is not None:
            self._maker.drop(block.begun)
        if life.waits_for_a_pass:
            block.change(self.now_s, quality, life.rng)
            block.begun = None
            return
        if not quality.per_second > 0:
            life.block = None  # what was collected of it is worth nothing
            self._serve(self.now_s, turns)
            return
        if self.now_s > block.since_s:
            block.change(self.now_s, quality, life.rng)
        else:  # it begins only when the switch has turned
            block.quality = quality
        self._hand_out(life, block)

    def attack(self, link: str, adversary: str, strength: float | None = None) -> None:
        """Put an adversary on a link, or change how strong it is.

        Args:
            link: Name of the link.
            adversary: Name of the attack, as in `e91.adversaries.ATTACKS`.
            strength: How strong it is; its default if None.

        Raises:
            ValueError: There is no such adversary, it does not act on photons one by one, or cannot
                be that strong; nothing has changed then.
        """
        life, eve = self._life(link), (adversary, strength)
        self._check_eve(life, eve)
        if life.eve is None:
            life.attacked_s, life.released_bits = self.now_s, 0
        life.eve = eve
        words = f"{adversary} begins on {link}" + (f", {strength:g}." if strength else ".")
        self.history.note(self.now_s, "attack", link, words, truth=True)
        self.relight(life)

    def _check_eve(self, life: LinkLife, eve: tuple[str, float | None]) -> None:
        pair_tables(EKERT if life.practice is None else life.practice.settings, *eve)

    def end_attack(self, link: str) -> None:
        """Take the adversary off a link.

        Args:
            link: Name of the link.
        """
        life = self._life(link)
        if life.eve is not None:
            life.eve = None
            words = f"The adversary on {link} is gone."
            self.history.note(self.now_s, "attack-ends", link, words, truth=True)
            self.relight(life)

    def cut(self, link: str) -> None:
        """Cut a link: neither photons nor messages pass, and its store cannot be used.

        Args:
            link: Name of the link.
        """
        life = self._life(link)
        if not life.is_cut:
            life.is_cut = True
            self.history.note(self.now_s, "cut", link, f"{link} is cut.")
            self._fall([life.index], self.now_s)
            self.relight(life)

    def mend(self, link: str) -> None:
        """Mend a link that was cut, or whose source failed.

        Args:
            link: Name of the link.
        """
        life = self._life(link)
        self._mend(life, cut=life.is_cut, source=life.source_fails)

    def _mend(self, life: LinkLife, *, cut: bool, source: bool) -> None:
        """Mend of a link what is broken there: the line, the source, or both."""
        if (cut and life.is_cut) or (source and life.source_fails):
            life.is_cut &= not cut
            life.source_fails &= not source
            self.history.note(self.now_s, "mended", life.plan.name, f"{life.plan.name} is mended.")
            if cut:
                self._rise([life.index])
            self.relight(life)

    def darken(self, link: str) -> None:
        """Let a link's source fail: no photons come, its store serves on.

        Args:
            link: Name of the link.
        """
        life = self._life(link)
        if not life.source_fails:
            life.source_fails = True
            self.history.note(self.now_s, "source-fails", link, f"The source of {link} fails.")
            self.relight(life)

    def kill_relay(self, site: str) -> None:
        """Let a relay die: none of its links can be used or makes key.

        Args:
            site: Name of the relay.
        """
        lives = [life for life in self._lives_at(site) if site not in life.dead_ends]
        if lives:
            self.history.note(self.now_s, "relay-dies", site, f"Relay {site} is dead.")
            for life in lives:
                life.dead_ends.add(site)
                self.relight(life)
            self._fall([life.index for life in lives], self.now_s)

    def revive_relay(self, site: str) -> None:
        """Let a relay work again.

        Args:
            site: Name of the relay.
        """
        lives = [life for life in self._lives_at(site) if site in life.dead_ends]
        if lives:
            self.history.note(self.now_s, "back", site, f"Relay {site} works again.")
            for life in lives:
                life.dead_ends.discard(site)
                self.relight(life)
            self._rise([life.index for life in lives])

    def _lives_at(self, site: str) -> list[LinkLife]:
        """Return the links of a relay.

        Raises:
            ValueError: There is no relay of that name.
        """
        relays = [
            name
            for name, is_relay in zip(self.graph.sites, self.graph.relays, strict=True)
            if is_relay
        ]
        if site not in relays:
            hint = did_you_mean(site, relays)
            raise ValueError(f"`site` must be a relay of the network, but {site!r} is none{hint}")
        return [life for life in self.lives if site in life.plan.ends]

    def turn_relay(self, site: str, *, honest: bool) -> None:
        """Let a relay tell Eve every key that it passes on, or stop doing so; nobody notices.

        Args:
            site: Name of the relay.
            honest: Whether it keeps keys to itself.
        """
        self._lives_at(site)
        self.users.changing(self.now_s)
        known = self.history.dishonest
        known.discard(site) if honest else known.add(site)
        words = f"Relay {site} {'is honest again' if honest else 'tells what it passes on'}."
        self.history.note(self.now_s, "relay-dishonest", site, words, truth=True)

    def _begin_incident(self, _: float, incident: Incident) -> None:
        match incident.kind:
            case IncidentKind.ATTACK:
                self.attack(incident.target, incident.attack, incident.strength)
            case IncidentKind.CUT:
                self.cut(incident.target)
            case IncidentKind.SOURCE_FAILS:
                self.darken(incident.target)
            case IncidentKind.RELAY_DIES:
                self.kill_relay(incident.target)
            case IncidentKind.RELAY_TURNS:
                self.turn_relay(incident.target, honest=False)

    def _end_incident(self, _: float, incident: Incident) -> None:
        match incident.kind:
            case IncidentKind.ATTACK:
                if self._life(incident.target).eve == (incident.attack, incident.strength):
                    self.end_attack(incident.target)
            case IncidentKind.CUT:
                self._mend(self._life(incident.target), cut=True, source=False)
            case IncidentKind.SOURCE_FAILS:
                self._mend(self._life(incident.target), cut=False, source=True)
            case IncidentKind.RELAY_DIES:
                self.revive_relay(incident.target)
            case IncidentKind.RELAY_TURNS:
                self.turn_relay(incident.target, honest=True)

    # Time.

    def _tick(self, now_s: float, _: object) -> None:
        """A second begins: receivers look at their stores, requests of the second are drawn."""
        self._levels = np.array(self.ledger.stored)
        for link in np.flatnonzero(self._levels < self._limits).tolist():
            turns = self._turn_of[link]
            if turns.idle:
                self._serve(now_s, turns)
        for life in self._fluid:
            self._flow(now_s, life)
        if now_s >= 0 and (now_s <= self._unsettled_s or not self._routes):
            self._note_routes(now_s)
        if self.history.samples.is_due(now_s) and now_s >= 0:
            self._sample(now_s)
        self.users.second(now_s)
        self.at(now_s + 1.0, self._tick, None)

    def _sample(self, now_s: float) -> None:
        ledger = self.ledger
        ages = [
            pool.oldest_s(stored=stored)
            for pool, stored in zip(self.pools, ledger.stored, strict=True)
        ]
        since = [now_s - made_s if made_s is not None else 0.0 for made_s in ages]
        done = self.history.delivered
        counted = [[done.served], [done.late], [done.missed]]
        self.history.samples.add(now_s, [ledger.stored, ledger.made, ledger.spent, since, *counted])


def _turns_of(plan: NetworkPlan) -> list[Turns]:
    """Return the receivers: the shared ones, and one for every other link."""
    shared = {receiver.name: Turns([], receiver.switch_s) for receiver in plan.receivers}
    own = []
    for number, link in enumerate(plan.links):
        if link.receiver is None:
            own.append(Turns([number], 0.0))
        else:
            shared[link.receiver].links.append(number)
    return [turns for turns in (*shared.values(), *own) if turns.links]
