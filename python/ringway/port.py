"""A port: what a program attaches to, receives from, and answers through."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from ctypes import byref, c_uint32, c_void_p, memmove
from typing import AsyncIterator, Iterator, Union

from . import library
from .library import BURST, EAGAIN, EGONE, EMSGSIZE, ETURN, Error, Msg, RingwayError
from .library import FIELDS_BYTES_MAX, RESPOND_BYTES_MAX, SLOT_BYTES_MAX
from .message import Connection, Fields, Kind, Message, Request, field_lines

_TRUST = {None: 0, "shared": 1, "isolated": 2}
_FOLLOW = 16

# How long to wait before another try to attach, and for a port beside another one, in seconds.
_RETRY, _BESIDE = 0.02, 0.001

# What a response answers: the head of a request, or all of it.
Asked = Union[Message, Request]
Body = Union[bytes, bytearray, str]


class Gone(RingwayError):
    """The dataplane has ended, or has closed the port: detach, and attach again."""


class Port:
    """A port of a dataplane. One thread at a time may use it.

    Whatever sends (``send``, ``write``, ``close``, ``abort``, ``respond``, ``begin``, ``part``) is
    under way when it returns. Where it needs a slot and none is lent, it waits for one; what comes
    meanwhile is kept for the next look. The twins ``arespond`` and ``awrite`` let other tasks run.
    """

    def __init__(self, handle: int) -> None:
        self._library = library.load()
        self._handle: int | None = handle
        self._queues = self._library.check(self._library.queue_count(handle))
        self._burst = (Msg * BURST)()
        self._inbox: deque[Message] = deque()
        self._bodies: dict[tuple[Connection, int], Request] = {}
        # Of asyncio: the loop that watches, who waits, and whether sleep is announced.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._announced = False
        self._gone = False

    @classmethod
    def attach(cls, socket: str, name: str, trust: str | None = None, follow: bool = False) -> Port:
        """Attaches to the port ``name`` of the dataplane whose control socket is at ``socket``. ``trust``
        is "shared", "isolated", or None: as the port's listener has it. With ``follow`` it is told when
        another instance takes over (``moved``)."""
        handle, error = c_void_p(), Error()
        texts = str(socket).encode(), name.encode()
        wanted = _TRUST[trust] | (_FOLLOW if follow else 0)
        if library.load().attach(*texts, wanted, byref(handle), byref(error)) < 0:
            raise RingwayError(error.text.decode(errors="replace"))
        assert handle.value is not None
        return cls(handle.value)

    def detach(self) -> None:
        """Gives all back. Messages that the program still has lose their bytes."""
        self._unwatch()
        self._inbox.clear()
        handle, self._handle = self._handle, None
        if handle is not None:
            self._library.detach(handle)

    @property
    def detached(self) -> bool:
        """Whether ``detach`` was called."""
        return self._handle is None

    def __enter__(self) -> Port:
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()

    def __del__(self) -> None:
        # One that was never made has no handle.
        if getattr(self, "_handle", None) is not None:
            self.detach()

    @property
    def is_alive(self) -> bool:
        """Whether the dataplane still serves the port. It costs a system call."""
        return self._library.is_alive(self._port()) == 1

    @property
    def moved(self) -> bool:
        """Whether another instance takes over, as ``wait`` or ``is_alive`` has heard last: attach there as
        well, and go on here until this one is gone. ``follow`` does so."""
        return self._library.has_moved(self._port()) == 1

    def _port(self) -> int:
        if self._handle is None:
            raise ValueError("the port is detached")
        return self._handle

    # ---- Receiving -----------------------------------------------------------------------------

    def receive(self) -> Iterator[Message]:
        """What is there now; it never waits."""
        self._pump()
        while self._inbox:
            yield self._inbox.popleft()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until something is there, for ``timeout`` seconds at most. False: nothing came, or
        only what the port itself needed."""
        if self._inbox:
            return True
        self._wait(-1 if timeout is None else int(timeout * 1000))
        return bool(self._inbox)

    def _wait(self, timeout_ms: int) -> None:
        """Waits for whatever there is, slots and credit too, and takes it in."""
        code = self._library.wait(self._port(), timeout_ms)
        # That has ended what tasks had announced: they look again.
        self._announced = False
        self._call_ready_soon()
        if code == EGONE:
            raise self._ended()
        self._pump()

    def _ended(self) -> Gone:
        return Gone(self._library.strerror(EGONE).decode())

    def __iter__(self) -> Iterator[Message]:
        """All that comes, until the dataplane is gone."""
        while True:
            yield from self.receive()
            self.wait()

    def requests(self) -> Iterator[Request]:
        """Whole requests, until the dataplane is gone."""
        for message in self:
            request = self._collect(message)
            if request is not None:
                yield request

    def _pump(self) -> None:
        """Takes all that is there, and ends the turn."""
        port, burst = self._port(), self._burst
        for queue in range(self._queues):
            count = BURST
            while count == BURST:
                count = self._library.check(self._library.rx_burst(port, queue, burst, BURST))
                for index in range(count):
                    self._inbox.append(Message(self, queue, Msg.from_buffer_copy(burst[index])))
        self._library.flush(port)

    def _collect(self, message: Message) -> Request | None:
        """The request that is whole with this message."""
        key = message.connection, message.number
        if message.kind == Kind.REQUEST:
            request = Request(message)
            if not message.has_body:
                return request
            self._bodies[key] = request
        elif message.kind == Kind.BODY and key in self._bodies:
            self._bodies[key].body += bytes(message)
            if message.last:
                return self._bodies.pop(key)
        elif message.kind == Kind.CLOSED:
            self._bodies.pop(key, None)
        return None

    # ---- Sending -------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """Sends the bytes of a received message back, not copied. The message has none then."""
        message._check()
        self._tx(message.connection.queue, message._raw)
        message._raw.handle = 0

    def write(self, connection: Connection, data: Body) -> None:
        """Sends bytes on a raw connection."""
        self._run(self._write(connection, Kind.DATA, 0, _bytes(data)))

    def connect(self, queue: int = 0) -> int:
        """Asks for a connection, at a port that is the address of a listener; its number. What comes
        next with that number is OPEN, of the connection, or CLOSED: it was refused."""
        number = c_uint32()
        self._library.check(self._library.connect(self._port(), queue, byref(number)))
        self._library.flush(self._port())
        return number.value

    def finish(self, connection: Connection) -> None:
        """Sends no more on a connection of a peer, and still receives."""
        self._mark(connection, Kind.EOF)

    def close(self, connection: Connection) -> None:
        """Closes a connection once all before it is out."""
        self._mark(connection, Kind.CLOSE)

    def abort(self, asked: Connection | Asked) -> None:
        """Closes a connection now, or that of a request."""
        if isinstance(asked, Connection):
            return self._mark(asked, Kind.ABORT)
        self._mark(asked.connection, Kind.ABORT, asked.number)

    def respond(self, asked: Asked, status: int, body: Body = b"", fields: Fields = ()) -> None:
        """Answers a request. ``fields`` are pairs of name and value; ringway adds the length and the
        date."""
        self._run(self._respond(asked, status, _bytes(body), field_lines(fields)))

    def begin(self, asked: Asked, status: int, fields: Fields = ()) -> None:
        """Begins a response whose body follows in parts."""
        self._run(self._begin(asked, status, field_lines(fields)))

    def part(self, asked: Asked, body: Body, last: bool = False) -> None:
        """The next part of the body that ``begin`` began. While requests before it on its connection are
        not answered a few parts wait; one more raises an error, since nobody but the program can answer
        those. With asyncio, ``apart`` waits for them."""
        self._run(self._part(asked, _bytes(body), last))

    async def arespond(self, asked: Asked, status: int, body: Body = b"", fields: Fields = ()) -> None:
        """``respond`` for asyncio: while no slot is lent, other tasks run."""
        await self._arun(self._respond(asked, status, _bytes(body), field_lines(fields)))

    async def apart(self, asked: Asked, body: Body, last: bool = False) -> None:
        """``part`` for asyncio: it also waits while requests before it are not answered."""
        await self._arun(self._part(asked, _bytes(body), last))

    async def awrite(self, connection: Connection, data: Body) -> None:
        """``write`` for asyncio."""
        await self._arun(self._write(connection, Kind.DATA, 0, _bytes(data)))

    # What sends is a generator that yields why it cannot go on: EAGAIN while no slot is lent, ETURN while
    # other requests have to be answered first.

    def _run(self, steps: Iterator[int]) -> None:
        for code in steps:
            if code == ETURN:
                self._library.check(code)
            self._wait(-1)
        self._library.flush(self._port())

    async def _arun(self, steps: Iterator[int]) -> None:
        for _ in steps:
            if self._gone:
                raise self._ended()
            await self._news()
            self._pump()
        self._library.flush(self._port())
        # It may have been the turn that others wait for.
        self._call_ready_soon()

    def _respond(self, asked: Asked, status: int, body: bytes, lines: bytes) -> Iterator[int]:
        if len(lines) + len(body) > RESPOND_BYTES_MAX:
            yield from self._begin(asked, status, lines)
            yield from self._part(asked, body, True)
            return
        (queue, conn), request = asked.connection, Msg(request=asked.number)
        request.conn = conn
        answer = byref(request), status, lines, body, len(body)
        while (code := self._library.respond(self._port(), queue, *answer)) == EAGAIN:
            yield code
        self._library.check(code)

    def _begin(self, asked: Asked, status: int, lines: bytes) -> Iterator[int]:
        if len(lines) > FIELDS_BYTES_MAX:
            self._library.check(EMSGSIZE)
        meta = self._library.response_meta(status, len(lines), 0)
        yield from self._write(asked.connection, Kind.RESPONSE, asked.number, lines, meta)

    def _part(self, asked: Asked, body: bytes, last: bool) -> Iterator[int]:
        yield from self._write(asked.connection, Kind.BODY, asked.number, body)
        if last:
            self._mark(asked.connection, Kind.BODY, asked.number, 1)

    def _write(
        self, connection: Connection, kind: Kind, number: int, data: bytes, meta: int = 0
    ) -> Iterator[int]:
        queue, conn = connection
        # The beginning of a response may have no fields, and is one message all the same.
        for at in range(0, len(data) or (kind == Kind.RESPONSE), SLOT_BYTES_MAX):
            chunk, msg = data[at : at + SLOT_BYTES_MAX], Msg()
            while (code := self._alloc(queue, conn, kind, number, len(chunk), msg)) in (EAGAIN, ETURN):
                yield code
            self._library.check(code)
            memmove(msg.data, chunk, len(chunk))
            msg.len, msg.kind, msg.request, msg.meta = len(chunk), kind, number, meta
            self._tx(queue, msg)

    def _alloc(self, queue: int, conn: int, kind: Kind, number: int, size: int, msg: Msg) -> int:
        if kind == Kind.BODY:
            asked = Msg(conn=conn, request=number)
            return self._library.alloc_part(self._port(), queue, byref(asked), size, byref(msg))
        return self._library.alloc(self._port(), queue, conn, size, byref(msg))

    def _mark(self, connection: Connection, kind: Kind, number: int = 0, meta: int = 0) -> None:
        self._tx(connection.queue, Msg(conn=connection.number, kind=kind, request=number, meta=meta))
        self._library.flush(self._port())

    def _tx(self, queue: int, msg: Msg) -> None:
        self._library.check(self._library.tx_burst(self._port(), queue, byref(msg), 1))

    def _release(self, raw: Msg) -> None:
        if self._handle is not None:
            self._library.release(self._handle, byref(raw))

    # ---- asyncio -------------------------------------------------------------------------------

    def fileno(self) -> int:
        """Readable when something came while sleep was announced; for loops of one's own, with
        ``prepare_sleep`` and ``awake``."""
        return self._library.fd(self._port())

    def prepare_sleep(self) -> bool:
        """Announces sleep until ``fileno`` is readable. False: something is there already."""
        return not self._inbox and self._library.prepare_sleep(self._port()) == 1

    def awake(self) -> None:
        """Ends the announcement, however the sleep ended."""
        self._library.awake(self._port())

    async def __aiter__(self) -> AsyncIterator[Message]:
        """All that comes, until the dataplane is gone."""
        while True:
            for message in self.receive():
                yield message
            # Other tasks have their turn even while there is always something.
            await asyncio.sleep(0)
            if self._inbox:
                continue
            if self._gone:
                raise self._ended()
            await self._news()

    async def arequests(self) -> AsyncIterator[Request]:
        """Whole requests, until the dataplane is gone."""
        async for message in self:
            request = self._collect(message)
            if request is not None:
                yield request

    async def _news(self) -> None:
        """Waits until something has come, or the dataplane is gone.

        No wake-up is lost: who waits is in the list before sleep is announced, the announcement looks
        once more into the rings, and whatever else ends it calls ``_on_ready``.
        """
        self._watch(asyncio.get_running_loop())
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        if not self._announced:
            self._announced = self.prepare_sleep()
            if not self._announced:
                self._call_ready_soon()
        await waiter

    def _on_ready(self) -> None:
        if self._handle is None:
            return
        self._announced = False
        self.awake()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _on_end(self) -> None:
        if self._handle is not None and self.is_alive:
            # Another instance takes over: ``moved`` tells.
            return self._on_ready()
        self._gone = True
        self._on_ready()
        self._unwatch()

    def _call_ready_soon(self) -> None:
        if self._waiters and self._loop is not None:
            self._loop.call_soon(self._on_ready)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not loop and not self._gone:
            self._unwatch()
            self._loop = loop
            loop.add_reader(self.fileno(), self._on_ready)
            loop.add_reader(self._library.lifeline_fd(self._port()), self._on_end)

    def _unwatch(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None and self._handle is not None and not loop.is_closed():
            loop.remove_reader(self.fileno())
            loop.remove_reader(self._library.lifeline_fd(self._handle))


def _bytes(body: Body) -> bytes:
    return body.encode() if isinstance(body, str) else bytes(body)


def follow(socket: str, name: str, trust: str | None = None) -> Iterator[tuple[Port, Request]]:
    """Whole requests of the port ``name``, each with the port to answer it through: of the dataplane that is
    there, of the one that takes over from it (``ringway run --takeover``), and of the next that is started
    after one has ended. It never ends; the first dataplane has to be there."""
    ports = [Port.attach(socket, name, trust, follow=True)]
    try:
        while True:
            for port in list(ports):
                try:
                    for message in port.receive():
                        request = port._collect(message)
                        if request is not None:
                            yield port, request
                    if not port.wait(_BESIDE if len(ports) > 1 else _RETRY) and not port.is_alive:
                        raise port._ended()
                except Gone:
                    ports.remove(port)
                    port.detach()
            if all(port.moved for port in ports):
                try:
                    ports.append(Port.attach(socket, name, trust, follow=True))
                except RingwayError:
                    time.sleep(_RETRY)
    finally:
        for port in ports:
            port.detach()
