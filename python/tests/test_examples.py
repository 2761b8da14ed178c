"""The examples, as processes, and as they are written."""

import unittest

from dataplane import Dataplane, Program, exchange, until

TEXT = b"abc DEF 123\n" * 30_000


class Examples(unittest.TestCase):
    def setUp(self) -> None:
        self.plane = Dataplane()
        self.addCleanup(self.plane.close)

    def attach(self, example: str, *arguments: str) -> Program:
        program = Program(example, self.plane.socket, *arguments)
        self.addCleanup(program.kill)
        return program

    def test_the_application_answers_and_others_while_one_is_slow(self) -> None:
        self.attach("http_app.py")
        slow = self.plane.client()
        slow.request("GET", "/slow")
        self.assertEqual(self.plane.ask("GET", "/hello"), (200, b"hello from Python\n"))
        self.assertEqual(self.plane.ask("POST", "/echo", TEXT), (200, TEXT))
        self.assertEqual(self.plane.ask("GET", "/nothing")[0], 404)
        self.assertEqual(slow.getresponse().read(), b"that took a while\n")
        slow.close()
        self.plane.end()

    def test_one_that_is_killed_is_missed_for_as_long_as_it_is_gone(self) -> None:
        program = self.attach("http_app.py")
        client = self.plane.client()
        client.request("GET", "/slow")
        until(lambda: self.plane.ask("GET", "/hello")[0] == 200)
        program.kill()
        self.assertEqual(client.getresponse().status, 502)
        client.close()
        until(lambda: self.plane.ask("GET", "/hello")[0] == 503)
        self.attach("http_app.py")
        self.assertEqual(self.plane.ask("GET", "/hello")[0], 200)
        self.plane.end()

    def test_bytes_are_echoed(self) -> None:
        self.attach("echo.py")
        self.attach("echo.py", "isolated")
        for port in self.plane.raw, self.plane.isolated:
            with self.plane.connect(port) as client:
                self.assertEqual(exchange(client, TEXT), TEXT)
        self.plane.end()

    def test_the_reader_needs_no_library(self) -> None:
        for arguments in ("echo",), ("echo", "isolated"), ("isolated",):
            program = self.attach("reader.py", *arguments)
            port = self.plane.raw if arguments[0] == "echo" else self.plane.isolated
            with self.plane.connect(port) as one, self.plane.connect(port) as other:
                for number in range(300):
                    one.sendall(b"ping %d\n" % number)
                    self.assertEqual(one.recv(100), b"PING %d\n" % number)
                self.assertEqual(exchange(other, TEXT), TEXT.upper())
                self.assertEqual(exchange(one, TEXT), TEXT.upper())
            program.kill()
        self.plane.end()

    def test_all_hear_of_the_end_of_the_dataplane(self) -> None:
        programs = [self.attach("http_app.py"), self.attach("echo.py"), self.attach("reader.py", "isolated")]
        self.plane.kill()
        for program in programs:
            self.assertIn("the dataplane", program.end())
            self.assertEqual(program.process.returncode, 1)


if __name__ == "__main__":
    unittest.main()
