"""An application behind the port `app` of a dataplane: says that it is attached, and answers."""

import asyncio
import sys

from ringway import Port, RingwayError

FIELDS = [("Content-Type", "text/plain")]


async def main(socket: str) -> None:
    with Port.attach(socket, "app", "shared") as port:
        print("attached", flush=True)
        async for request in port.arequests():
            port.respond(request, 200, b"Hello World!", FIELDS)


try:
    asyncio.run(main(sys.argv[1]))
except RingwayError:
    pass  # the dataplane has ended
