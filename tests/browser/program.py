"""Programs that a test starts and ends: ringway's examples, and the driver of the browser."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

# How long a program may take to listen, or to end, in seconds.
PATIENCE = 60


def free_port():
    """A port that nobody has now. Another one may take it before it is used, which a test then says."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


class Program:
    """A running program; what it prints is kept for when it fails."""

    def __init__(self, command):
        self.command = command
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT
        )

    def said(self):
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def wait_for_port(self, port):
        """Waits until it listens."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            assert self.process.poll() is None, f"{self.command} ended: {self.said()}"
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"{self.command} does not listen on {port}: {self.said()}")

    def stop(self, how=signal.SIGTERM):
        """Ends it as that signal does, unless it has ended; its exit status."""
        if self.output.closed:
            return self.process.returncode
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.command} does not end: {self.said()}") from None
        finally:
            self.last_words = self.said()
            self.output.close()


class Example(Program):
    """One of `examples/`, as cargo has built it, on a port of its own."""

    def __init__(self, name):
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        super().__init__([str(target / "debug" / "examples" / name), self.address])
        try:
            self.wait_for_port(port)
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def url(self, path="/"):
        return f"http://{self.address}{path}"

    def interrupt(self):
        """Ends it with ctrl-C, which has to leave nothing behind."""
        status = self.stop(signal.SIGINT)
        assert status == 0, f"{status}: {self.last_words}"
        assert "0 bufs missing" in self.last_words, self.last_words
