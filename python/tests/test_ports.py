"""The package: ports as a program sees them. The dataplane is another process, the client a thread."""

import asyncio
import socket
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor

from dataplane import PATIENCE_SECONDS, Dataplane, exchange, until
from ringway import Connection, Gone, Kind, Port, RingwayError, follow
from ringway.library import FIELDS_BYTES_MAX, RESPOND_BYTES_MAX


class Ports(unittest.TestCase):
    def setUp(self) -> None:
        self.plane = Dataplane()
        self.addCleanup(self.plane.close)
        self.clients = ThreadPoolExecutor(8)
        self.addCleanup(self.clients.shutdown)

    def attach(self, name: str = "app", trust: str | None = None) -> Port:
        port = Port.attach(self.plane.socket, name, trust)
        self.addCleanup(port.detach)
        return port

    def asked(self, method: str, target: str, body: bytes | None = None):
        """The answer to come of a client."""
        return self.clients.submit(self.plane.ask, method, target, body)

    def test_a_request_has_its_parts_until_it_is_released(self) -> None:
        with self.attach() as port:
            answer = self.asked("GET", "/a/b?c=d")
            message = next(iter(port))
            self.assertEqual((message.kind, message.method, message.target), (Kind.REQUEST, "GET", "/a/b?c=d"))
            self.assertEqual(message.header("hOsT"), f"127.0.0.1:{self.plane.http}")
            self.assertIsNone(message.header("X-None"))
            self.assertIn(("Accept-Encoding", "identity"), message.fields())
            self.assertFalse(message.has_body)
            self.assertTrue(bytes(message).startswith(b"GET /a/b?c=d HTTP/1.1\r\n"))
            self.assertEqual(message.view()[:3], b"GET")
            message.release()
            message.release()
            for of_bytes in (lambda: bytes(message), message.view, lambda: message.method):
                self.assertRaises(ValueError, of_bytes)
            port.respond(message, 200, "done")
            self.assertEqual(answer.result(), (200, b"done"))
        self.plane.end()

    def test_a_peer_opens_connections_and_hears_what_is_answered(self) -> None:
        sent, heard = bytes(range(256)) * 1000, bytearray()
        with self.attach("feed") as port:
            number = port.connect()
            for message in port:
                if message.kind == Kind.OPEN:
                    self.assertEqual(message.number, number)
                    port.write(message.connection, sent[:1000])
                    port.write(message.connection, sent[1000:])
                    port.finish(message.connection)
                elif message.kind == Kind.DATA:
                    heard += bytes(message)
                elif message.kind == Kind.CLOSED:
                    break
            self.assertEqual(heard, sent)
        with self.attach("echo") as port:
            self.assertRaises(RingwayError, port.connect)
        self.plane.end()

    def pipelined(self) -> socket.socket:
        """A client with two requests under way, and no more."""
        client = socket.create_connection(("127.0.0.1", self.plane.http))
        self.addCleanup(client.close)
        client.settimeout(PATIENCE_SECONDS)
        client.sendall(b"GET /0 HTTP/1.1\r\nHost: a\r\n\r\nGET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return client

    def test_parts_before_their_turn_wait_up_to_a_bound(self) -> None:
        with self.attach() as port:
            client, requests = self.pipelined(), port.requests()
            first, second = next(requests), next(requests)
            port.begin(second, 200)
            sent = 0
            with self.assertRaisesRegex(RingwayError, "answer those first"):
                while True:
                    port.part(second, b"%03d" % sent)
                    sent += 1
            self.assertGreater(sent, 1)
            port.respond(first, 200, "first")
            port.part(second, b"end", last=True)
            answers = b""
            while part := client.recv(4096):
                answers += part
            port.wait(0)
        body = b"".join(b"%03d" % n for n in range(sent)) + b"end"
        chunks = answers.partition(b"first")[2].partition(b"\r\n\r\n")[2]
        self.assertEqual(b"".join(chunks.split(b"\r\n")[1::2]), body)
        self.plane.end()

    def test_a_task_waits_for_the_turn_of_its_response(self) -> None:
        async def stream(port: Port, request) -> None:
            port.begin(request, 200)
            for _ in range(100):
                await port.apart(request, b"part")
            await port.apart(request, b"", last=True)

        async def serve(port: Port) -> None:
            requests = port.arequests()
            first, second = await anext(requests), await anext(requests)
            streaming = asyncio.create_task(stream(port, second))
            await asyncio.sleep(0.05)
            self.assertFalse(streaming.done())
            await port.arespond(first, 200, "first")
            await streaming

        with self.attach() as port:
            client = self.pipelined()
            asyncio.run(serve(port))
            answers = b""
            while part := client.recv(4096):
                answers += part
                port.wait(0)
        self.assertEqual(answers.count(b"part"), 100)
        self.plane.end()

    def test_responses_of_all_sizes_arrive_whole(self) -> None:
        at_once = RESPOND_BYTES_MAX - len("X-Y: z\r\n")
        sizes = [0, 1, 2048, 16384, at_once, at_once + 1, 3_000_000]
        with self.attach() as port:
            requests = port.requests()
            for size in sizes:
                answer = self.asked("POST", "/", bytes(min(size, 1_000_000)))
                request = next(requests)
                self.assertEqual(len(request.body), min(size, 1_000_000))
                port.respond(request, 200, b"x" * size, [("X-Y", "z")])
                while not answer.done():
                    port.wait(0.01)
                self.assertEqual(answer.result(), (200, b"x" * size))
        self.plane.end()

    def test_fields_at_the_limit_are_sent_and_one_byte_more_refused(self) -> None:
        with self.attach() as port:
            answer = self.asked("GET", "/")
            request = next(port.requests())
            value = "v" * (FIELDS_BYTES_MAX - len("X: \r\n"))
            for refused in [("X", value + "v")], [("X", "a\r\nY: b")], [("X", "\0")]:
                self.assertRaises((RingwayError, ValueError), port.respond, request, 200, "", refused)
                self.assertRaises((RingwayError, ValueError), port.begin, request, 200, refused)
            port.respond(request, 200, "ok", [("X", value)])
            self.assertEqual(answer.result(), (200, b"ok"))
        self.plane.end()

    def test_a_response_can_be_sent_in_parts_or_cut_off(self) -> None:
        with self.attach() as port:
            answer = self.asked("GET", "/")
            request = next(port.requests())
            port.begin(request, 201)
            for part in "one ", "two ":
                port.part(request, part)
            port.part(request, "three", last=True)
            self.assertEqual(answer.result(), (201, b"one two three"))
            answer = self.asked("GET", "/")
            port.abort(next(port.requests()))
            self.assertIsInstance(answer.exception(), OSError)
        self.plane.end()

    def test_raw_connections_on_both_kinds_of_port(self) -> None:
        for name, number in ("echo", self.plane.raw), ("isolated", self.plane.isolated):
            with self.attach(name) as port:
                sent = bytes(range(256)) * 2000
                back = self.clients.submit(lambda: exchange(self.plane.connect(number), sent))
                kinds = []
                for message in port:
                    kinds.append(message.kind)
                    if message.kind == Kind.DATA:
                        port.write(message.connection, bytes(message))
                    elif message.kind == Kind.EOF:
                        port.close(message.connection)
                    elif message.kind == Kind.CLOSED:
                        break
                self.assertEqual(back.result(), sent)
                self.assertEqual((kinds[0], set(kinds[1:-2]), kinds[-2:]), (1, {0}, [2, 3]))
        self.plane.end()

    def test_what_cannot_be_says_why_and_what_mends_it(self) -> None:
        with self.assertRaisesRegex(RingwayError, "there is no such port"):
            self.attach("another")
        with self.assertRaisesRegex(RingwayError, "the port is isolated"):
            self.attach("isolated", "shared")
        port = self.attach()
        with self.assertRaisesRegex(RingwayError, "is attached to it"):
            self.attach()
        with self.assertRaisesRegex(RingwayError, "no queue of the port"):
            port.write(Connection(1, 0), "x")
        port.detach()
        port.detach()
        self.assertRaises(ValueError, port.wait)
        # The name is free when the lcores have let go.
        until(lambda: self.plane.is_free("app"))
        self.attach().detach()
        self.plane.end()

    def test_the_end_of_the_dataplane_ends_the_wait(self) -> None:
        port = self.attach()
        self.assertFalse(port.wait(0.01))
        self.assertTrue(port.is_alive)
        timer = threading.Timer(0.1, self.plane.kill)
        timer.start()
        with self.assertRaises(Gone):
            while not port.wait(PATIENCE_SECONDS):
                pass
        timer.join()
        self.assertFalse(port.is_alive)

    def test_a_program_that_follows_answers_each_request_as_one_takes_over_and_after_a_crash(self) -> None:
        socket, ends = self.plane.socket, threading.Event()

        def serve() -> None:
            for port, request in follow(socket, "app"):
                port.respond(request, 200, request.target)
                if ends.is_set():
                    return

        server = self.clients.submit(serve)
        until(lambda: not self.plane.is_free("app"))
        answered, over = [0], threading.Event()

        def ask() -> None:
            while not over.is_set():
                assert self.plane.ask("GET", "/here") == (200, b"/here")
                answered[0] += 1

        def more() -> None:
            count = answered[0]
            until(lambda: client.done() or answered[0] > count + 20)

        client = self.clients.submit(ask)
        more()
        second = Dataplane(of=self.plane)
        self.addCleanup(second.kill)
        self.assertEqual(self.plane.process.wait(PATIENCE_SECONDS), 0)
        more()
        over.set()
        client.result(PATIENCE_SECONDS)
        second.kill()
        third = Dataplane(of=second)
        self.addCleanup(third.kill)
        until(lambda: not third.is_free("app"))
        ends.set()
        self.assertEqual(third.ask("GET", "/last"), (200, b"/last"))
        server.result(PATIENCE_SECONDS)

    # ---- asyncio -------------------------------------------------------------------------------

    def test_no_wake_up_is_lost_however_the_task_sleeps(self) -> None:
        rounds, clients = 300, 4

        async def serve(port: Port) -> None:
            async for request in port.arequests():
                await port.arespond(request, 200, request.body)

        def ask_many() -> None:
            client = self.plane.client()
            for number in range(rounds):
                client.request("POST", "/", b"%d" % number)
                assert client.getresponse().read() == b"%d" % number
            client.close()

        async def main() -> None:
            with self.attach() as port:
                server = asyncio.create_task(serve(port))
                loop = asyncio.get_running_loop()
                waits = [loop.run_in_executor(self.clients, ask_many) for _ in range(clients)]
                await asyncio.wait_for(asyncio.gather(*waits), 3 * PATIENCE_SECONDS)
                server.cancel()

        asyncio.run(main())
        self.plane.end()

    def test_a_call_that_waits_between_tasks_takes_no_wake_up_from_them(self) -> None:
        async def main() -> None:
            with self.attach() as port:
                requests = port.arequests()
                loop = asyncio.get_running_loop()
                asleep = asyncio.create_task(anext(requests))
                await asyncio.sleep(0.05)
                # It ends the announcement that the task relies on, and takes what came.
                answer = loop.run_in_executor(self.clients, self.plane.ask, "GET", "/")
                until(lambda: port.wait(1))
                request = await asyncio.wait_for(asleep, PATIENCE_SECONDS)
                await port.arespond(request, 200, b"x" * 1_000_000)
                self.assertEqual(await answer, (200, b"x" * 1_000_000))
                # A task that was given up takes nothing with it either.
                given_up = asyncio.create_task(anext(requests))
                await asyncio.sleep(0.05)
                given_up.cancel()
                await asyncio.gather(given_up, return_exceptions=True)
                answer = loop.run_in_executor(self.clients, self.plane.ask, "GET", "/")
                request = await asyncio.wait_for(anext(port.arequests()), PATIENCE_SECONDS)
                port.respond(request, 204)
                self.assertEqual((await answer)[0], 204)

        asyncio.run(main())
        self.plane.end()

    def test_the_end_of_the_dataplane_ends_the_tasks_too(self) -> None:
        async def main() -> None:
            with self.attach() as port:
                asyncio.get_running_loop().call_later(0.1, self.plane.kill)
                with self.assertRaises(Gone):
                    async for _ in port:
                        pass

        asyncio.run(asyncio.wait_for(main(), PATIENCE_SECONDS))


if __name__ == "__main__":
    unittest.main()
