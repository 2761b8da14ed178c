"""An HTTP application in asyncio, behind a dataplane.

The listener: protocol = "http", handler = "port:app" (examples/ports.toml).
PYTHONPATH=python python3 examples/python/http_app.py /run/ringway/ringway/control.sock
"""

import asyncio
import json
import sys

from ringway import Port, Request, RingwayError


async def answer(port: Port, request: Request) -> None:
    """Answers one request; others are answered meanwhile."""
    if request.path == "/hello":
        await port.arespond(request, 200, "hello from Python\n", [("Content-Type", "text/plain")])
    elif request.path == "/slow":
        await asyncio.sleep(0.2)
        await port.arespond(request, 200, "that took a while\n")
    elif request.path == "/echo" and request.method == "POST":
        await port.arespond(request, 200, request.body)
    elif request.path == "/fields":
        body = json.dumps(dict(request.fields), indent=2) + "\n"
        await port.arespond(request, 200, body, [("Content-Type", "application/json")])
    else:
        await port.arespond(request, 404, "not found\n")


async def main(socket: str, name: str = "app") -> None:
    with Port.attach(socket, name) as port:
        print("attached", flush=True)
        async with asyncio.TaskGroup() as tasks:
            async for request in port.arequests():
                tasks.create_task(answer(port, request))


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except* RingwayError as errors:
        sys.exit(str(errors.exceptions[0]))
