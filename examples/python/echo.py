"""Echoes what comes on the raw connections of a port.

The listener: protocol = "raw", handler = "port:echo" (examples/ports.toml).
PYTHONPATH=python python3 examples/python/echo.py /run/ringway/ringway/control.sock
"""

import sys

from ringway import Kind, Port, RingwayError


def main(socket: str, name: str = "echo") -> None:
    with Port.attach(socket, name) as port:
        print("attached", flush=True)
        for message in port:
            if message.kind == Kind.DATA:
                port.send(message)  # the same bytes, from the same slot
            elif message.kind == Kind.EOF:
                port.close(message.connection)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except RingwayError as error:
        sys.exit(str(error))
