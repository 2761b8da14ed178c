"""Ports of a ringway dataplane: connections and HTTP requests that a Python program handles.

    import ringway

    with ringway.Port.attach("/run/ringway/ringway/control.sock", "app") as port:
        for request in port.requests():
            port.respond(request, 200, "hello\\n")

A program that is to outlive the dataplane, and to pass to the one that takes over from it without a lost
request:

    for port, request in ringway.follow("/run/ringway/ringway/control.sock", "app"):
        port.respond(request, 200, "hello\\n")

In asyncio it is ``async for request in port.arequests()`` and ``await port.arespond(...)``.

The C library that this calls is found by the environment variable RINGWAY_LIBRARY, or beside this
file (``scripts/capi.sh`` builds it).
"""

from .library import RingwayError
from .message import Connection, Kind, Message, Request
from .port import Gone, Port, follow

__all__ = ["Connection", "Gone", "Kind", "Message", "Port", "Request", "RingwayError", "follow"]
