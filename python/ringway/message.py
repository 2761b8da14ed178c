"""What passes through a port, as Python has it. How it comes and goes is port.py's business."""

from __future__ import annotations

import ctypes
from ctypes import byref
from enum import IntEnum
from typing import TYPE_CHECKING, Iterable, NamedTuple

from .library import Msg

if TYPE_CHECKING:
    from .port import Port

Fields = Iterable[tuple[str, str]]


class Kind(IntEnum):
    """What a message is. The first group is of raw connections, the second of HTTP."""

    DATA = 0
    OPEN = 1
    EOF = 2
    CLOSED = 3
    CLOSE = 4
    ABORT = 5
    PAUSE = 9
    RESUME = 10

    REQUEST = 16
    BODY = 17
    TRAILERS = 19
    RESPONSE = 67


class Connection(NamedTuple):
    """Names one connection of the port, and no other, ever."""

    queue: int
    number: int


class Message:
    """Something about a connection, with bytes or without.

    Its bytes lie in a slot that the dataplane has lent. The slot goes back when the message is
    released, sent, or forgotten; what the dataplane has lent is bounded, so forget messages soon.
    """

    __slots__ = ("_port", "_raw", "connection")

    def __init__(self, port: Port, queue: int, raw: Msg) -> None:
        self._port = port
        self._raw = raw
        self.connection = Connection(queue, raw.conn)

    @property
    def kind(self) -> int:
        """One of :class:`Kind`."""
        return self._raw.kind

    @property
    def number(self) -> int:
        """Number of the request that it is of, or of the connection that was asked for."""
        return self._raw.request

    @property
    def last(self) -> bool:
        """Of a BODY: it is the last."""
        return self._raw.kind == Kind.BODY and self._raw.meta == 1

    def __len__(self) -> int:
        return self._raw.len

    def __bytes__(self) -> bytes:
        if self._raw.len == 0:
            return b""
        self._check()
        return ctypes.string_at(self._raw.data, self._raw.len)

    def view(self) -> memoryview:
        """The bytes where they lie, not copied. Whoever looks at them after the message was released
        or sent sees what is there then, and crashes once the port is detached."""
        self._check()
        array = (ctypes.c_ubyte * self._raw.len).from_address(self._raw.data)
        return memoryview(array).toreadonly().cast("B")

    def release(self) -> None:
        """Gives the slot back now."""
        if self._raw.handle:
            self._port._release(self._raw)
            self._raw.handle = 0

    def __del__(self) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<Message kind={self.kind} bytes={len(self)} of {self.connection}>"

    def _check(self) -> None:
        if not self._raw.handle or self._port.detached:
            raise ValueError("the message has no bytes, or they were released or sent")

    # Of a request's head.

    @property
    def method(self) -> str:
        """Such as ``GET``."""
        return self._part("request_method")

    @property
    def target(self) -> str:
        """As it came, such as ``/path?query``."""
        return self._part("request_target")

    @property
    def has_body(self) -> bool:
        """Whether messages of kind BODY follow."""
        return self._port._library.request_has_body(byref(self._raw)) == 1

    def header(self, name: str) -> str | None:
        """The value of the first field of that name, whatever its case."""
        self._check()
        value = self._port._library.request_header(byref(self._raw), name.encode("latin-1"))
        copy = value.copy()
        return None if copy is None else copy.decode("latin-1")

    def fields(self) -> list[tuple[str, str]]:
        """All fields in order, names as they came."""
        pairs = (line.partition(":") for line in self._part("request_fields").splitlines() if line)
        return [(name, value.strip(" \t")) for name, _, value in pairs]

    def _part(self, name: str) -> str:
        self._check()
        copy = getattr(self._port._library, name)(byref(self._raw)).copy()
        return "" if copy is None else copy.decode("latin-1")


class Request:
    """A whole request, body and all. It is a copy and holds no slot."""

    __slots__ = ("body", "connection", "fields", "method", "number", "target")

    def __init__(self, head: Message) -> None:
        self.connection, self.number = head.connection, head.number
        self.method, self.target, self.fields = head.method, head.target, head.fields()
        self.body = bytearray()

    @property
    def path(self) -> str:
        """The target up to its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """The value of the first field of that name, whatever its case."""
        name = name.lower()
        return next((value for other, value in self.fields if other.lower() == name), None)


def field_lines(fields: Fields) -> bytes:
    """Field lines, each ended by CRLF."""
    lines = [f"{name}: {value}" for name, value in fields]
    if any(mark in line for line in lines for mark in "\r\n\0"):
        raise ValueError("a field has a line break, or a zero")
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")
