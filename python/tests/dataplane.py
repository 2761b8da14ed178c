"""A dataplane that runs, for the tests: `ringway run` with four ports, on one core."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
PATIENCE_SECONDS = 20

LISTENER = """
[[listener]]
address = "127.0.0.1:0"
transport = "tcp"
"""


def until(what) -> None:
    """Waits until ``what()`` is true."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.01)


class Dataplane:
    """Ports `app` (HTTP), `echo` (raw) and `isolated` (raw) of handlers, and `feed` of a peer, to which
    its listener echoes."""

    def __init__(self, of: Dataplane | None = None) -> None:
        """With ``of``, it takes over from that one."""
        self._directory = of._directory if of else tempfile.TemporaryDirectory()
        directory = Path(self._directory.name)
        self.socket = str(directory / "control.sock")
        config, self._log = directory / f"ports{bool(of):d}.toml", directory / f"log{bool(of):d}"
        listener = LISTENER.replace(":0", f":{of.http}") if of else LISTENER
        config.write_text(
            f'[control]\nsocket = "{self.socket}"\n'
            + listener + 'protocol = "http"\nhandler = "port:app"\n'
            + LISTENER + 'protocol = "raw"\nhandler = "port:echo"\n'
            + LISTENER + 'protocol = "raw"\nhandler = "port:isolated"\nisolated = true\n'
            + '[[listener]]\naddress = "port:feed"\ntransport = "shm"\nprotocol = "echo"\n'
        )
        command = [TARGET / "ringway", "run", "--config", config, "--idle", "sleep", "--no-huge"]
        command += ["-l", f"0@{min(os.sched_getaffinity(0))}", "--file-prefix", f"python-{os.getpid()}"]
        command += ["--takeover"] if of else []
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: "\nready" in self.log() or self.process.poll() is not None)
        ports = re.findall(r"listening on 127\.0\.0\.1:(\d+)", self.log())
        self.http, self.raw, self.isolated = map(int, ports)

    def log(self) -> str:
        """What it has said."""
        return self._log.read_text()

    def end(self) -> None:
        """Drains it. It fails when anything that it had lent did not come home."""
        self.process.terminate()
        status = self.process.wait(PATIENCE_SECONDS)
        log = self.log()
        assert status == 0 and "0 bufs missing" in log, log

    def kill(self) -> None:
        """As a crash would."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        """Leaves nothing behind, whatever has become of it."""
        self.kill()
        self._directory.cleanup()

    def is_free(self, port: str) -> bool:
        """Whether nobody is attached to the port."""
        command = [TARGET / "ringway", "ctl", "--socket", self.socket, "--json", "ports"]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        return any(row["port"] == port and row["pid"] is None for row in answer)

    def client(self) -> http.client.HTTPConnection:
        """A client of the HTTP port."""
        return http.client.HTTPConnection("127.0.0.1", self.http, timeout=PATIENCE_SECONDS)

    def ask(self, method: str, target: str, body: bytes | None = None) -> tuple[int, bytes]:
        """One request on a connection of its own: status and body."""
        client = self.client()
        client.request(method, target, body)
        response = client.getresponse()
        answer = response.status, response.read()
        client.close()
        return answer

    def connect(self, port: int) -> socket.socket:
        """A raw connection."""
        return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)


def exchange(client: socket.socket, sent: bytes) -> bytes:
    """Sends all, says so, and returns all that comes back; the two at once. The client is closed."""

    def send() -> None:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)

    back = bytearray()
    with client:
        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        while part := client.recv(65536):
            back += part
        sender.join(PATIENCE_SECONDS)
    return bytes(back)


class Program:
    """One of the examples, as a process."""

    def __init__(self, example: str, *arguments: str) -> None:
        command = [sys.executable, ROOT / "examples/python" / example, *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "attached\n", line + self.process.stdout.read()

    def end(self) -> str:
        """What it says until it ends by itself."""
        said, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        return said

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.communicate(timeout=PATIENCE_SECONDS)
