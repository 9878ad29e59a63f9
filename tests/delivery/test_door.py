"""What a port lets in, over real sockets: broken, slow and large requests, and never an echo."""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from e91.delivery.http.exchange import HttpReply, error_reply, json_reply
from e91.delivery.http.limits import DoorLimits, TokenBucket
from e91.delivery.http.listening import Address, Listener, parse_address
from e91.delivery.http.routing import by_path

MARK = "e91-mark"
CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"
LIMITS = DoorLimits(request_s=0.3, idle_s=0.6, reading_s=0.3, linger_s=0.1, waiting_requests=4)


@pytest.fixture(autouse=True)
def quick_sweeps(monkeypatch):
    monkeypatch.setattr("e91.delivery.http.listening._SWEEP_S", 0.05)


async def seen(request):
    """Answer with what arrived."""
    if request.target == "/fails":
        raise RuntimeError(MARK)
    if request.target == "/large":
        return HttpReply(200, b"x" * 8_000_000)
    if request.target == "/slow":
        await asyncio.sleep(0.2)
    size = None if request.body is None else len(request.body)
    return json_reply(200, {"method": request.method, "target": request.target, "size": size})


@asynccontextmanager
async def open_port(handler=seen, *, limits=LIMITS):
    listener = Listener(handler, address=Address("127.0.0.1", 0), limits=limits)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop(within_s=2.0)


@asynccontextmanager
async def connected(listener, **options):
    port = listener.address.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def exchanged(content, *, ends=False, wait_s=5.0, **options):
    """Return everything that a port sends back until it closes, or one reply."""
    async with open_port(**options) as listener, connected(listener) as (reader, writer):
        writer.write(content)
        if ends:
            writer.write_eof()
        return await asyncio.wait_for(reader.read(), wait_s)


def sent(content, **options):
    return asyncio.run(exchanged(content, **options))


def request(target="/", *lines, method="GET", version="1.1", body=b"", close=True):
    head = [f"{method} {target} HTTP/{version}", "Host: kme", *lines]
    if close:
        head.append("Connection: close")
    return "\r\n".join([*head, "", ""]).encode() + body


def status_of(reply):
    return int(reply.split(b" ", 2)[1])


def document_of(reply):
    return json.loads(reply.partition(b"\r\n\r\n")[2])


def test_a_request_reaches_its_handler_and_the_reply_its_sender():
    reply = sent(request("/a?b=%20", method="POST", body=b"abc"[:0]))
    assert document_of(reply) == {"method": "POST", "target": "/a?b=%20", "size": 0}
    head = reply.partition(b"\r\n\r\n")[0].lower()
    assert b"content-type: application/json\r\n" in head
    assert b"cache-control: no-store" in head


@pytest.mark.parametrize("telling", [b"python", b"aiohttp", b"httptools", b"uvloop", b"server:"])
def test_no_reply_says_what_serves(telling):
    for content in (request("/"), b"nonsense\r\n\r\n", request("/fails")):
        assert telling not in sent(content).lower()


def test_head_gets_no_body():
    head, _, body = sent(request("/", method="HEAD")).partition(b"\r\n\r\n")
    assert b"200 OK" in head
    assert body == b""


@pytest.mark.parametrize(
    "target", ["http://kme/x?y=1", "https://other.example/x?y=1", "HTTP://kme:1/x?y=1"]
)
def test_of_an_absolute_uri_path_and_query_count(target):
    assert document_of(sent(request(target)))["target"] == "/x?y=1"


def test_http_1_0_is_answered_and_closed():
    reply = sent(b"GET / HTTP/1.0\r\n\r\n")
    assert status_of(reply) == 200
    assert b"Connection: close" in reply


def test_http_1_0_may_ask_to_stay():
    first = b"GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    reply = sent(first + b"GET /2 HTTP/1.0\r\n\r\n")
    assert reply.count(b"200 OK") == 2
    assert reply.count(b"Connection: keep-alive") == 1


@pytest.mark.parametrize(
    "content",
    [
        f"{MARK}\r\n\r\n", f"GET /{MARK}\r\n\r\n", f"GET / HTTP/1.1\r\nHost kme {MARK}\r\n\r\n",
        f"GET / HTTP/2.0\r\nHost: {MARK}\r\n\r\n", f"GET / HTTP/1.1\r\nX: {MARK}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: a\r\nHost: {MARK}\r\n\r\n", f"G{MARK}T / HTTP/1.1\r\n\r\n",
        f"POST /{MARK} HTTP/1.1\r\nHost: k\r\nContent-Length: 3\r\n{CHUNKED}0\r\n\r\n",
        f"POST /{MARK} HTTP/1.1\r\nHost: k\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        f"POST /{MARK} HTTP/1.1\r\nHost: k\r\nContent-Length: -3\r\n\r\nabc",
        f"POST /{MARK} HTTP/1.1\r\nHost: k\r\nContent-Length: 3, 3\r\n\r\nabc",
        f"POST /{MARK} HTTP/1.1\r\nHost: k\r\n{CHUNKED}zz\r\n\r\n",
        f"POST /{MARK} HTTP/1.1\r\nHost: k\r\nTransfer-Encoding: gzip, chunked, x\r\n\r\n",
        f"GET /{MARK} HTTP/1.1\nHost: k\n\n", f"GET / HTTP/1.1\r\nHost: k\r\nX : {MARK}\r\n\r\n",
        f"GET /{MARK} HTTP/1.1\r\nHost: k\r\nX: a\r\n folded\r\n\r\n",
        f"GET /{MARK} HTTP/1.1\r\nHost: k\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        f"CONNECT {MARK}:443 HTTP/1.1\r\nHost: k\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        f"GET /\0{MARK} HTTP/1.1\r\nHost: k\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)  # fmt: skip
def test_broken_http_gets_the_error_object_without_an_echo(content):
    reply = sent(content.encode("latin-1"), ends=True)
    if reply:  # what may be the beginning of a request is closed without a word
        assert status_of(reply) in (400, 404)
        assert list(document_of(reply)) == ["message"]
        assert reply.count(b"HTTP/1.1 ") == 1
    assert MARK.encode() not in reply


@pytest.mark.parametrize("size", [65_537, 100_000_000])
def test_a_body_beyond_the_limit_is_not_waited_for(size):
    async def conversation():
        async with open_port(too_large) as listener, connected(listener) as (reader, writer):
            writer.write(request("/", f"Content-Length: {size}", method="POST", close=False))
            return await asyncio.wait_for(reader.read(), 5)

    assert status_of(asyncio.run(conversation())) == 413


async def too_large(request):
    assert request.body is None
    return error_reply(413, "the body is too large")


@pytest.mark.parametrize("chunk", [1, 1_000, 65_537])
def test_chunks_beyond_the_limit_are_cut_off(chunk):
    piece = b"%x\r\n%b\r\n" % (chunk, b"x" * chunk)
    content = request("/", "Transfer-Encoding: chunked", method="POST") + piece * (
        70_000 // chunk + 1
    )
    reply = sent(content, handler=too_large)
    assert status_of(reply) == 413


def test_a_chunked_body_within_the_limit_is_taken():
    content = request("/", "Transfer-Encoding: chunked", method="POST")
    reply = sent(content + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n")
    assert document_of(reply)["size"] == 5


def test_a_large_head_is_refused():
    assert status_of(sent(request("/", f"X: {'x' * 20_000}"))) == 431
    assert status_of(sent(request("/" + "x" * 20_000))) == 431
    assert status_of(sent(b"GET /" + b"x" * 17_000)) == 431


@pytest.mark.parametrize(
    "content", [b"G", b"GET / HTTP/1.1\r\nHost: k\r\n", request("/", "Content-Length: 9") + b"x"]
)
def test_a_slow_request_is_answered_408_and_ended(content):
    assert status_of(sent(content)) == 408


def test_an_idle_connection_is_closed_without_a_word():
    assert sent(b"") == b""
    assert sent(request("/", close=False)).count(b"HTTP/1.1") == 1


def test_a_client_that_does_not_read_is_dropped():
    async def conversation():
        async with open_port() as listener, connected(listener, limit=1024) as (_, writer):
            writer.write(request("/large", close=False))
            await asyncio.sleep(1.0)
            return dict(listener.door.refused), len(listener.door.connections)

    assert asyncio.run(conversation()) == ({"slow client": 1}, 0)


def test_requests_sent_ahead_are_answered_in_their_order():
    content = request("/slow", close=False) + b"".join(
        request(f"/{number}", close=False) for number in range(20)
    )
    reply = sent(content + request("/end"))
    targets = [part.split(b'"')[2] for part in reply.split(b'"target":')[1:]]
    found = [line for line in reply.split(b'"') if line.startswith(b"/")]
    assert len(targets) == 22
    assert found == [b"/slow", *(b"/%d" % number for number in range(20)), b"/end"]


def test_nothing_after_a_last_request_is_answered():
    assert sent(request("/1") + request("/2")).count(b"HTTP/1.1 ") == 1


def test_a_bug_is_answered_503_without_its_words(caplog):
    reply = sent(request("/fails"))
    assert status_of(reply) == 503
    assert MARK.encode() not in reply
    assert "could not be answered" in caplog.text


def test_continue_is_said_before_a_body_that_will_be_read():
    async def conversation():
        async with open_port() as listener, connected(listener) as (reader, writer):
            lines = ("Expect: 100-continue", "Content-Length: 3")
            writer.write(request("/", *lines, method="POST"))
            first = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            writer.write(b"abc")
            return first, await asyncio.wait_for(reader.read(), 5)

    first, reply = asyncio.run(conversation())
    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert document_of(reply)["size"] == 3


def test_a_stop_waits_for_the_reply_that_is_under_way():
    async def conversation():
        async with open_port() as listener, connected(listener) as (reader, writer):
            writer.write(request("/slow", close=False))
            await asyncio.sleep(0.05)
            await listener.stop()
            with pytest.raises(OSError, match="Connect call failed"):
                await asyncio.open_connection("127.0.0.1", listener.address.port)
            return await reader.read()

    reply = asyncio.run(conversation())
    assert status_of(reply) == 200
    assert b"Connection: close" in reply


def test_connections_beyond_the_limit_are_closed():
    async def conversation():
        limits = DoorLimits(connections=2)
        async with open_port(limits=limits) as listener, AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(connected(listener))
            await asyncio.sleep(0.05)
            return len(listener.door.connections), dict(listener.door.refused)

    assert asyncio.run(conversation()) == (2, {"too many connections": 1})


def test_a_taken_port_is_said_to_be():
    async def conversation():
        async with open_port() as listener:
            second = Listener(seen, address=listener.address)
            with pytest.raises(ValueError, match=r"must be free, but 127\.0\.0\.1:"):
                await second.start()

    asyncio.run(conversation())


@pytest.mark.parametrize("text", ["", "8443", "host:", ":1", "h:x", "h:65536", "::1:5", "h:-1"])
def test_an_address_has_a_host_and_a_port(text):
    with pytest.raises(ValueError, match="`listen` must be a host and a port"):
        parse_address(text)


def test_the_longest_beginning_decides_who_answers():
    async def conversation():
        async def first(_):
            return HttpReply(200, b"1")

        async def second(_):
            return HttpReply(200, b"2")

        handler = by_path({"/a/": first, "/a/b/": second})
        return [
            await exchanged(request(target), handler=handler) for target in ("/a/x", "/a/b/x", "/c")
        ]

    replies = asyncio.run(conversation())
    assert [reply.rpartition(b"\n")[2][:1] for reply in replies] == [b"1", b"2", b"{"]
    assert status_of(replies[2]) == 404


def test_a_bucket_gives_what_has_come_and_no_more():
    bucket = TokenBucket(per_second=10.0, tokens=10.0, at=0.0)
    assert [bucket.wait_s(0.0) for _ in range(10)] == [0.0] * 10
    assert bucket.wait_s(0.0) == pytest.approx(0.1)
    assert bucket.wait_s(0.1) == 0.0
    assert sum(bucket.wait_s(1e6) == 0.0 for _ in range(100)) == 10  # a second's worth at most
    assert bucket.wait_s(5.0) > 0  # the clock was put back
