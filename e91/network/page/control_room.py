"""The server of the control room: one page, one stream of events for every tab, a few commands.

It listens on this computer alone unless another address is asked for, and answers only those who
call it by its own name: another site's script, or a name that was made to point here, gets 403.

``GET /events`` is a tab's stream (browsers allow six per host):

* ``hello``: everything; on connection, when another network is on the page, after a page slept.
* ``tick``, five times a second: clock, real pace, headline, links that changed in short
  (`Figures.short`).
* ``link``, ``route``: the tab's chosen link and pair (`link_now`, `route_now`), when they changed.
* ``log``: an event, as it happens; the level ``truth`` marks what only the simulator knows.

``POST /api/{verb}`` takes JSON (`COMMANDS`) and answers 400 with a sentence if it makes no sense;
``/api/history?link=``, ``/api/recording``, ``/api/past?t=``, ``/api/outcomes`` and ``/export/``
give data.  No key byte is in any of it.
"""

import asyncio
import csv
import errno
import io
import json
import math
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, TypeVar

from aiohttp import web

from e91.model.numbers import check_whole
from e91.network.layout import NetworkPlan
from e91.network.network_run import Depth, report_of
from e91.network.page.live_figures import STATES, Row
from e91.network.page.network_view import check_attack, link_now, route_now, title_of
from e91.network.page.pilot import Look, Pilot, Running, replay_of, replays
from e91.network.plan_files import load

T = TypeVar("T")

PORT = 8091
"""Where the page is served if no port is named."""

_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_MOST_TABS = 64
_WAITING_EVENTS = 60  # of a tab that reads slowly; then it is greeted anew
_LOG = 80  # events that a new tab gets
_MARKS = 2_000  # events that the recording's slider may mark

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(eq=False)
class Tab:
    """A page that is open.

    Attributes:
        name: By which it says who it is.
        waiting: Events that it has not read.
        stale: Whether everything must be sent anew: the tab is new, or has slept.
        link: Name of its chosen link; written by the simulation's thread, like the rest.
        pair: The two sites whose route it looks at.
        sent: What was last sent of its link and of its route.
    """

    name: str = field(default_factory=lambda: secrets.token_hex(6))
    waiting: "asyncio.Queue[str]" = field(default_factory=lambda: asyncio.Queue(_WAITING_EVENTS))
    stale: bool = True
    link: str | None = None
    pair: tuple[str, str] | None = None
    sent: dict[str, Any] = field(default_factory=dict)


class Room:
    """The open tabs, and the news that they get.

    Attributes:
        pilot: The simulation's thread.
        seed: Of replays, too.
        workers: The same.
        tabs: The open ones, by name; replaced, never changed, as both threads read it.
        ended: Done with the exception of a simulation that failed.
    """

    def __init__(self, running: Running, *, seed: int | None, workers: int | None) -> None:
        self.pilot = Pilot(running, self._looked)
        self.seed, self.workers = seed, workers
        self.tabs: dict[str, Tab] = {}
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._number = 0
        self._rows: list[list[float]] = []
        self._replays = [
            {"id": plan.name, "variant": plan.variant, "title": title_of(plan)}
            for plan in replays()
        ]

    async def ask(self, question: Callable[[], T]) -> T:
        """Return the answer of a function that the simulation's thread calls."""
        return await asyncio.wrap_future(self.pilot.ask(question))

    # In the simulation's thread.

    def _looked(self, look: Look) -> None:
        """Send every tab its news."""
        failed = self.pilot.failed
        if failed is not None:
            self._loop.call_soon_threadsafe(self._end, failed)
            return
        tabs, moved = list(self.tabs.values()), look.number != self._number
        if moved:
            self._number = look.number
            for tab in tabs:
                tab.link = tab.pair = None
                tab.stale = True
        hello = self._hello() if any(tab.stale for tab in tabs) else None
        old = () if moved else self._rows
        changed = [row for number, row in enumerate(look.rows) if [row] != old[number:][:1]]
        self._rows = look.rows
        tick = look.tick | {"links": changed}
        self._loop.call_soon_threadsafe(self._spread, look.log, tick, hello, self._news(tabs))

    def _news(self, tabs: list[Tab]) -> dict[str, list[tuple[str, dict[str, Any]]]]:
        """Return what is new of every tab's link and route."""
        found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        now = self.pilot.now
        simulation, graph = now.simulation, now.simulation.graph
        for tab in tabs:
            seen = {}
            if tab.link is not None:
                seen["link"] = link_now(simulation, now.figures, graph.link_number[tab.link])
            if tab.pair is not None:
                seen["route"] = route_now(simulation, now.figures, *tab.pair)
            found[tab.name] = [
                (name, what) for name, what in seen.items() if what != tab.sent.get(name)
            ]
            tab.sent = seen
        return found

    def _hello(self) -> dict[str, Any]:
        pilot, now = self.pilot, self.pilot.now
        last = max(0, len(now.simulation.history.events) - _LOG)
        return {
            "network": now.layout,
            "replays": self._replays,
            "replay": pilot.replays,
            "t": round(now.simulation.now_s, 2),
            "running": pilot.running,
            "speed": pilot.speed,
            "links": [now.figures.short(life) for life in now.simulation.lives],
            "log": now.log(last),
        }

    # In the loop of events.

    def _end(self, failed: BaseException) -> None:
        if not self.ended.done():
            self.ended.set_exception(failed)

    def _spread(
        self,
        log: list[dict[str, Any]],
        tick: dict[str, Any],
        hello: dict[str, Any] | None,
        news: dict[str, list[tuple[str, dict[str, Any]]]],
    ) -> None:
        """Put what is new before every tab; one that is stale gets everything instead."""
        for tab in self.tabs.values():
            if tab.stale and hello is not None and tab.name in news:
                tab.stale = False
                self._put(tab, "hello", hello | {"client": tab.name})
            elif not tab.stale:
                for entry in log:
                    self._put(tab, "log", entry)
            if not tab.stale:
                self._put(tab, "tick", tick)
                for name, what in news.get(tab.name, ()):
                    self._put(tab, name, what)

    def _put(self, tab: Tab, name: str, what: dict[str, Any]) -> None:
        """Add an event to those that a tab has to read; one that sleeps gets all of it later."""
        if tab.waiting.full():
            while not tab.waiting.empty():
                tab.waiting.get_nowait()
            tab.stale = True
        if not tab.stale:
            text = json.dumps(what, separators=(",", ":"), allow_nan=False)
            tab.waiting.put_nowait(f"event: {name}\ndata: {text}\n\n")


ROOM = web.AppKey("room", Room)
ALLOWED = web.AppKey("allowed", tuple[str, ...])


@web.middleware
async def own_computer_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse foreign hosts (a name made to point here) and origins (another site's script)."""
    host, allowed = request.host, request.app[ALLOWED]
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    origin = request.headers.get("Origin")
    foreign = origin is not None and origin.partition("://")[2] != host
    if (allowed and name not in allowed) or foreign:
        return web.Response(status=403, text="This page answers its own computer only.\n")
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        refusal.headers.update(_HEADERS)
        raise
    if not response.prepared:
        response.headers.update(_HEADERS)
    return response


async def asset(request: web.Request) -> web.StreamResponse:
    """Answer with a file of the page."""
    name = request.match_info.get("name", "index.html")
    kind = _KINDS.get(name.rpartition(".")[2])
    file = files("e91.network.page").joinpath(name)
    if kind is None or "/" in name or not file.is_file():
        raise web.HTTPNotFound
    return web.Response(text=file.read_text("utf-8"), content_type=kind)


async def events(request: web.Request) -> web.StreamResponse:
    """Answer with the stream of a tab, until it is closed."""
    room = request.app[ROOM]
    if len(room.tabs) >= _MOST_TABS:
        raise web.HTTPServiceUnavailable(text=f"At most {_MOST_TABS} tabs can be open at once.\n")
    stream = {"Content-Type": "text/event-stream", **_HEADERS}
    response = web.StreamResponse(headers=stream)
    await response.prepare(request)
    tab = Tab()
    room.tabs = {**room.tabs, tab.name: tab}
    try:
        await response.write(b"retry: 1000\n\n")
        while True:
            await response.write((await tab.waiting.get()).encode())
    except (ConnectionResetError, asyncio.CancelledError):
        pass
    finally:
        room.tabs = {name: other for name, other in room.tabs.items() if other is not tab}
    return response


# Commands.


def _clock(room: Room, body: dict[str, Any]) -> None:
    pilot = room.pilot
    running, speed = body.get("running", pilot.running), body.get("speed", pilot.speed)
    if not isinstance(running, bool):
        raise ValueError(f"`running` must be true or false, but is {running!r}.")
    pilot.set_clock(running=running, speed=speed)


def _link_of(room: Room, body: dict[str, Any]) -> str:
    link = body.get("link")
    if link not in room.pilot.now.simulation.graph.link_number:
        raise ValueError(f"`link` must name a link of the network, but is {link!r}.")
    return str(link)


def _attack(room: Room, body: dict[str, Any]) -> None:
    link, simulation = _link_of(room, body), room.pilot.now.simulation
    name, strength = body.get("adversary"), body.get("strength")
    if name is None:
        simulation.end_attack(link)
        return
    if not isinstance(strength, int | float) or isinstance(strength, bool):
        raise ValueError(f"`strength` must be a number, but is {strength!r}.")
    check_attack(simulation, link, str(name), float(strength))
    simulation.attack(link, str(name), float(strength))


def _cut(room: Room, body: dict[str, Any]) -> None:
    room.pilot.now.simulation.cut(_link_of(room, body))


def _mend(room: Room, body: dict[str, Any]) -> None:
    room.pilot.now.simulation.mend(_link_of(room, body))


def _focus(room: Room, body: dict[str, Any]) -> None:
    tab = room.tabs.get(str(body.get("client")))
    if tab is None:
        raise ValueError(f"`client` must name an open tab, but is {body.get('client')!r}.")
    if "link" in body:
        tab.link = _link_of(room, body)
        tab.sent.pop("link", None)
    if "pair" in body:
        known, pair = room.pilot.now.simulation.graph.site_number, body["pair"]
        if not (isinstance(pair, list) and len(pair) == 2 and all(site in known for site in pair)):
            raise ValueError(f"`pair` must name two sites of the network, but is {pair!r}.")
        tab.pair = pair[0], pair[1]
        tab.sent.pop("route", None)


def _replay(room: Room, body: dict[str, Any]) -> None:
    name, variant = body.get("id"), body.get("variant")
    if name is None:
        room.pilot.leave()
        return
    known = [plan.name for plan in replays()]
    if name not in known:
        raise ValueError(f"A replay must be one of {', '.join(known)}, but is {name!r}.")
    plan = load(str(name), variant=variant)
    running, speed = replay_of(plan, seed=room.seed, workers=room.workers)
    room.pilot.show(running, speed=speed)


COMMANDS: dict[str, Callable[[Room, dict[str, Any]], None]] = {
    "clock": _clock,
    "attack": _attack,
    "cut": _cut,
    "mend": _mend,
    "focus": _focus,
    "replay": _replay,
}


async def command(request: web.Request) -> web.StreamResponse:
    """Carry out a command, or refuse it with 400 and a sentence."""
    verb, room = request.match_info["verb"], request.app[ROOM]
    if verb not in COMMANDS:
        raise web.HTTPNotFound
    if request.content_type != "application/json":
        return web.json_response({"error": "A command must be JSON."}, status=415)
    try:
        body = json.loads(await request.text())
        if not isinstance(body, dict):
            raise ValueError("A command must be a JSON object.")
        await room.ask(lambda: COMMANDS[verb](room, body))
    except ValueError as refusal:  # what cannot be read as JSON or UTF-8 too
        return web.json_response({"error": str(refusal)}, status=400)
    return web.json_response({"ok": True})


# Data.


async def history(request: web.Request) -> web.StreamResponse:
    """Answer with the rows of a link."""
    room, link = request.app[ROOM], request.query.get("link", "")

    def rows() -> list[Row] | None:
        now = room.pilot.now
        number = now.simulation.graph.link_number.get(link)
        return None if number is None else list(now.figures.rows[number])

    found = await room.ask(rows)
    if found is None:
        raise web.HTTPNotFound
    return web.json_response({"id": link, "columns": Row._fields, "rows": found})


async def recording(request: web.Request) -> web.StreamResponse:
    """Answer with when there were looks at this run, and what happened in it of late."""
    room = request.app[ROOM]

    def outline() -> dict[str, Any]:
        now = room.pilot.now
        entries = now.log(max(0, len(now.simulation.history.events) - _MARKS))
        marks = [[e["t"], e["kind"], e["link"], e["text"]] for e in entries]
        return {**now.recording.outline(), "marks": marks}

    return web.json_response(await room.ask(outline))


async def past(request: web.Request) -> web.StreamResponse:
    """Answer with what there was to see at a moment of this run."""
    room = request.app[ROOM]
    try:
        time_s = float(request.query.get("t", ""))
    except ValueError:
        time_s = math.nan
    if not math.isfinite(time_s):
        return web.json_response({"error": "`t` must be a number of seconds."}, status=400)

    def seen() -> dict[str, Any] | None:
        now = room.pilot.now
        moment = now.recording.at(time_s)
        if moment is None:
            return None
        upto = now.events_until(moment.time_s)
        return moment.to_dict() | {"log": now.log(max(0, upto - _LOG))[: min(upto, _LOG)]}

    found = await room.ask(seen)
    if found is None:
        raise web.HTTPNotFound
    return web.json_response(found)


async def outcomes(request: web.Request) -> web.StreamResponse:
    """Answer with what came of the network beside what was printed of it."""
    room = request.app[ROOM]
    return web.json_response(await room.ask(room.pilot.now.outcomes))


def _table(header: tuple[str, ...], rows: list[list[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def _links_table(now: Running) -> str:
    ledger, simulation = now.simulation.ledger, now.simulation
    rows = []
    for life in simulation.lives:
        link = life.index
        last = now.figures.last(life)
        rows.append([
            life.plan.name, STATES[now.figures.state(life)], last.chsh, last.bound, last.qber,
            last.evidence, now.figures.rate(life), ledger.made[link], ledger.spent[link],
            ledger.lost[link], ledger.stored[link], now.figures.capacity(life),
        ])  # fmt: skip
    header = ("link", "state", "chsh", "chsh_lower_bound", "qber", "log_evidence")
    bits = ("made", "spent", "lost", "stored", "capacity")
    return _table((*header, "bits_per_second", *(f"{name}_bits" for name in bits)), rows)


def _log_table(now: Running) -> str:
    rows = [[e["t"], e["kind"], e["level"], e["link"] or "", e["text"]] for e in now.log(0)]
    return _table(("time_s", "kind", "level", "link", "text"), rows)


def _everything(now: Running) -> str:
    simulation, figures = now.simulation, now.figures
    report = report_of(simulation, depth=now.depth, seconds=0.0).to_dict()
    del report["seconds"]  # the time of day went by the clock
    return json.dumps(
        {
            "schema": "e91-control-room/1",
            "time_s": simulation.now_s,
            "network": now.layout,
            "report": report,
            "links": [link_now(simulation, figures, link) for link in range(len(simulation.lives))],
            "log": now.log(0),
        }
    )


EXPORTS: dict[str, tuple[str, Callable[[Running], str]]] = {
    "links.csv": ("text/csv", _links_table),
    "log.csv": ("text/csv", _log_table),
    "state.json": ("application/json", _everything),
}


async def export(request: web.Request) -> web.StreamResponse:
    """Answer with data to keep."""
    room, what = request.app[ROOM], request.match_info["what"]
    if what not in EXPORTS:
        raise web.HTTPNotFound
    kind, write = EXPORTS[what]
    name, text = await room.ask(lambda: (room.pilot.now.layout["name"], write(room.pilot.now)))
    named = {"Content-Disposition": f'attachment; filename="{name}-{what}"'}
    return web.Response(text=text, content_type=kind, headers=named)


# The server.


def application(room: Room, *, host: str) -> web.Application:
    """Return the control room as a web application; its room must be started and closed."""
    app = web.Application(middlewares=[own_computer_only], client_max_size=2**16)
    app[ROOM] = room
    everywhere = host in ("0.0.0.0", "::")
    app[ALLOWED] = () if everywhere else (*_OWN_NAMES, host)
    app.add_routes(
        [
            web.get("/", asset),
            web.get("/events", events),
            web.get("/api/history", history),
            web.get("/api/outcomes", outcomes),
            web.get("/api/recording", recording),
            web.get("/api/past", past),
            web.post("/api/{verb}", command),
            web.get("/export/{what}", export),
            web.get("/{name}", asset),
        ]
    )
    return app


def serve(
    plan: NetworkPlan,
    *,
    depth: Depth = "bits",
    seed: int | None = None,
    workers: int | None = None,
    host: str = "127.0.0.1",
    port: int = PORT,
    say: Callable[[str], None] = print,
) -> None:
    """Open the control room of a network, say its address, and run until it is interrupted.

    Simulated time follows the wall clock from the moment at which the stores are filled.

    Args:
        plan: The network.
        depth: As of `e91.network.begin`.
        seed: The same.
        workers: The same; one a core by default.
        host: Address to listen at; another than this computer's own lets others see and steer.
        port: Port to listen at; 0 takes a free one.
        say: What is called with the sentence that has the address.

    Raises:
        ValueError: The port is taken, or the network cannot be run so.

    Examples:
        >>> from e91.network.plan_files import load
        >>> serve(load("tokyo-2010"), port=70_000)
        Traceback (most recent call last):
        ValueError: `port` must lie in [0, 65535], but is 70000.
    """
    check_whole(most=65_535, port=port)
    running = Running.of(plan, depth=depth, seed=seed, workers=workers, ends=False)
    try:
        asyncio.run(_serve(running, seed=seed, workers=workers, host=host, port=port, say=say))
    except KeyboardInterrupt:
        say("The control room is closed.")


async def _serve(
    running: Running,
    *,
    seed: int | None,
    workers: int | None,
    host: str,
    port: int,
    say: Callable[[str], None],
) -> None:
    room = Room(running, seed=seed, workers=workers)
    runner = web.AppRunner(application(room, host=host), shutdown_timeout=0.5)
    try:
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        await _listen(site, host=host, port=port)
        shown = f"[{host}]" if ":" in host else host
        say(f"Control room of {running.layout['name']}: http://{shown}:{_port_of(runner)}/")
        room.pilot.start()
        await room.ended
    finally:
        await runner.cleanup()
        room.pilot.close()


def _port_of(runner: web.AppRunner) -> int:
    return int(runner.addresses[0][1])


async def _listen(site: web.TCPSite, *, host: str, port: int) -> None:
    try:
        await site.start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ValueError(
                f"The port of a page must be free, but {port} is taken; name another one."
            ) from None
        raise ValueError(
            f"The page must be served at an address of this computer, but {host} is none."
        ) from None
