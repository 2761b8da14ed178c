"""examples/websocket_page.rs in a real browser: texts, binary messages, large ones, compression, and closing both ways."""

import unittest

from program import Example
from webdriver import Browser, missing

# Opens a WebSocket in the page: what it hears is promised one by one, `next()`.
OPEN = """
window.open_socket = (path, protocols) => new Promise((opened, failed) => {
    const socket = new WebSocket(`ws://${location.host}${path}`, protocols ?? []);
    socket.binaryType = "arraybuffer";
    const heard = [], waiting = [];
    const tell = (one) => waiting.length ? waiting.shift()(one) : heard.push(one);
    socket.next = () => new Promise((hear) => heard.length ? hear(heard.shift()) : waiting.push(hear));
    socket.onmessage = (e) => tell(e.data);
    socket.onclose = (e) => { tell({code: e.code, reason: e.reason, clean: e.wasClean}); failed("closed"); };
    socket.onopen = () => opened(socket);
});
"""


@unittest.skipIf(missing(), missing())
class WebSocketPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.example = Example("websocket_page")
        cls.addClassCleanup(cls.example.stop)
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        self.browser.open(self.example.url())
        self.browser.run(OPEN)

    def in_page(self, script, *arguments):
        return self.browser.await_(script, *arguments)

    def test_a_person_types_and_reads(self):
        browser = self.browser
        browser.wait_for("return document.getElementById('state').textContent == 'open'")
        for text in ("hello", "wörld 🦀"):
            browser.type("#text", text)
            browser.click("#send")
            browser.wait_for(
                "return [...document.querySelectorAll('li')].some((l) => l.textContent == arguments[0])", text
            )
        browser.type("#text", "close 4001")
        browser.click("#send")
        browser.wait_for("return document.getElementById('state').textContent.startsWith('closed: 4001')")
        self.assertEqual([line for line in browser.console() if "favicon" not in line], [])

    def test_texts_of_all_lengths_come_back(self):
        lengths = [0, 1, 10, 125, 126, 127, 130, 1000, 65535, 65536, 65540, 1_000_000]
        echoed = self.in_page(
            """
            const socket = await open_socket("/"), wrong = [];
            for (const length of arguments[0]) {
                // Ten bytes each, of characters of one to four.
                const text = "aé€🦀".repeat(length / 10) + "x".repeat(length % 10);
                socket.send(text);
                if (await socket.next() !== text) wrong.push(length);
            }
            socket.close();
            return wrong;
            """,
            lengths,
        )
        self.assertEqual(echoed, [])

    def test_binary_messages_up_to_a_mebibyte_come_back(self):
        wrong = self.in_page(
            """
            const socket = await open_socket("/"), wrong = [];
            for (const length of arguments[0]) {
                const bytes = new Uint8Array(length);
                for (let at = 0; at < length; at += 65536)
                    crypto.getRandomValues(bytes.subarray(at, Math.min(length, at + 65536)));
                socket.send(bytes);
                const back = new Uint8Array(await socket.next());
                if (back.length != length || !back.every((byte, at) => byte == bytes[at])) wrong.push(length);
            }
            socket.close();
            return wrong;
            """,
            [0, 1, 126, 65536, 1_000_000, 1 << 20],
        )
        self.assertEqual(wrong, [])

    def test_many_messages_at_once_come_back_in_order(self):
        heard = self.in_page(
            """
            const socket = await open_socket("/"), heard = [];
            for (let n = 0; n < 5000; n++) socket.send(`message ${n}`);
            for (let n = 0; n < 5000; n++) heard.push(await socket.next());
            socket.close();
            return heard;
            """
        )
        self.assertEqual(heard, [f"message {n}" for n in range(5000)])

    def test_compression_is_agreed_on(self):
        extensions = self.in_page('return (await open_socket("/")).extensions;')
        self.assertTrue(extensions.startswith("permessage-deflate"), extensions)

    def test_the_page_closes_with_a_code_and_hears_it(self):
        for code, reason in [(1000, ""), (1000, "bye"), (3000, "é" * 61), (4999, "")]:
            closed = self.in_page(
                """
                const socket = await open_socket("/");
                socket.close(...arguments);
                return socket.next();
                """,
                code,
                reason,
            )
            self.assertEqual((closed["code"], closed["clean"]), (code, True))

    def test_the_server_closes_with_a_code(self):
        for code in (1000, 1001, 1008, 3000, 4999):
            closed = self.in_page(
                """
                const socket = await open_socket("/");
                socket.send(`close ${arguments[0]}`);
                await socket.next();
                return socket.next();
                """,
                code,
            )
            self.assertEqual((closed["code"], closed["clean"]), (code, True))

    def test_one_byte_more_than_the_largest_message_is_refused_with_1009(self):
        closed = self.in_page(
            """
            const socket = await open_socket("/");
            socket.send(new Uint8Array((1 << 20) + 1));
            return socket.next();
            """
        )
        self.assertEqual((closed["code"], closed["clean"]), (1009, True))

    def test_a_protocol_that_is_not_spoken_and_pages_of_others_are_refused(self):
        outcome = self.in_page('return open_socket("/", ["chat"]).then(() => "open", () => "refused");')
        self.assertEqual(outcome, "refused")
        self.browser.open("about:blank")
        outcome = self.in_page(
            """
            return new Promise((done) => {
                const socket = new WebSocket(arguments[0]);
                socket.onopen = () => done("open");
                socket.onclose = () => done("refused");
            });
            """,
            f"ws://{self.example.address}/",
        )
        self.assertEqual(outcome, "refused")

    @classmethod
    def tearDownClass(cls):
        cls.browser.open("about:blank")
        cls.example.interrupt()


if __name__ == "__main__":
    unittest.main()
