"""Figures of a running server in the format of Prometheus.

Requests are counted in plain numbers, and prometheus_client turns them into its format when
somebody asks: its own counters would cost a tenth of a request each time.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
"""Upper ends of the classes of how long replies take, seconds."""


@dataclass
class RequestTally:
    """What one KME has answered.

    Attributes:
        requests: Number by method and status.
        keys: Number delivered, by method.
        classes: Replies by method and class of `BUCKETS_S`, the last one for longer.
        seconds: That the replies took together, by method.
    """

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)
    classes: dict[str, list[int]] = field(default_factory=dict)
    seconds: Counter[str] = field(default_factory=Counter)

    def count(self, operation: str, *, status: int, keys: int, seconds: float) -> None:
        """Count a reply.

        Args:
            operation: The method; ``none`` for what could not be understood.
            status: Of HTTP.
            keys: How many keys it carries.
            seconds: From the whole request to the reply.
        """
        self.requests[operation, status] += 1
        self.keys[operation] += keys
        classes = self.classes.get(operation)
        if classes is None:
            classes = self.classes[operation] = [0] * (len(BUCKETS_S) + 1)
        classes[bisect_left(BUCKETS_S, seconds)] += 1
        self.seconds[operation] += seconds  # type: ignore[assignment]


@dataclass(frozen=True)
class LinkFigures:
    """How one KME's link to another is.

    Attributes:
        peer: The other KME.
        bits: That can be given.
        is_alarmed: Whether an alarm stops it.
        is_silent: Whether its other end, in another process, confirms no key.
    """

    peer: str
    bits: int
    is_alarmed: bool
    is_silent: bool


@dataclass(frozen=True)
class KmeFigures:
    """What of one KME is exported.

    Attributes:
        tally: Its requests.
        connections: Open ones.
        refused: Requests and connections that the door refused, by reason.
        links: Its links.
        has_failed: Whether its store gives nothing.
    """

    tally: RequestTally
    connections: int
    refused: Mapping[str, int]
    links: tuple[LinkFigures, ...]
    has_failed: bool


def exposition(figures: Mapping[str, KmeFigures], *, alarms: int, expired: int) -> bytes:
    """Return the figures of all KMEs as text.

    Args:
        figures: By ID of the KME.
        alarms: How often a link has rung.
        expired: How many keys went void as nobody fetched them.
    """

    class Figures(Collector):
        """Answers with the figures."""

        def collect(self) -> Iterable[Metric]:
            """Return every metric."""
            yield from _of_requests(figures)
            yield from _of_state(figures)
            yield _total("e91_alarms", "Alarms of links", alarms)
            yield _total("e91_keys_expired", "Keys that nobody fetched in time", expired)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figures())
    return generate_latest(registry)


def _total(name: str, words: str, number: int) -> Metric:
    """Return a counter without labels."""
    total = CounterMetricFamily(name, words)
    total.add_metric([], number)
    return total


def _of_requests(figures: Mapping[str, KmeFigures]) -> Iterable[Metric]:
    requests = CounterMetricFamily(
        "e91_requests", "Requests answered", labels=["kme", "method", "status"]
    )
    keys = CounterMetricFamily("e91_keys_delivered", "Keys", labels=["kme", "method"])
    times = HistogramMetricFamily(
        "e91_request_seconds", "From the whole request to its reply", labels=["kme", "method"]
    )
    for kme, found in figures.items():
        for (method, status), number in found.tally.requests.items():
            requests.add_metric([kme, method, str(status)], number)
        for method, number in found.tally.keys.items():
            keys.add_metric([kme, method], number)
        for method, classes in found.tally.classes.items():
            ends = [*map(str, BUCKETS_S), "+Inf"]
            buckets = list(zip(ends, accumulate(classes), strict=True))
            times.add_metric([kme, method], buckets, found.tally.seconds[method])
    return requests, keys, times


def _of_state(figures: Mapping[str, KmeFigures]) -> Iterable[Metric]:
    bits = GaugeMetricFamily("e91_key_bits", "Key bits to give", labels=["kme", "peer"])
    alarmed = GaugeMetricFamily(
        "e91_link_alarmed", "Whether an alarm stops the link", labels=["kme", "peer"]
    )
    silent = GaugeMetricFamily(
        "e91_link_silent", "Whether the other end confirms no key", labels=["kme", "peer"]
    )
    connections = GaugeMetricFamily("e91_connections", "Open connections", labels=["kme"])
    failed = GaugeMetricFamily("e91_store_failed", "Whether the store failed", labels=["kme"])
    refused = CounterMetricFamily(
        "e91_refused_at_door", "Refused before any handler", labels=["kme", "reason"]
    )
    for kme, found in figures.items():
        connections.add_metric([kme], found.connections)
        failed.add_metric([kme], int(found.has_failed))
        for reason, number in found.refused.items():
            refused.add_metric([kme, reason], number)
        for link in found.links:
            bits.add_metric([kme, link.peer], link.bits)
            alarmed.add_metric([kme, link.peer], int(link.is_alarmed))
            silent.add_metric([kme, link.peer], int(link.is_silent))
    return bits, alarmed, silent, connections, failed, refused
