"""examples/chat.rs in two tabs of a real browser: rooms, what is said, who is there."""

import unittest

from program import Example
from webdriver import Browser, missing

LINES = "return [...document.querySelectorAll('#log li')].map((line) => line.textContent)"
HERE = "return document.getElementById('here').textContent == arguments[0]"


@unittest.skipIf(missing(), missing())
class Chat(unittest.TestCase):
    def setUp(self):
        self.example = Example("chat")
        self.addCleanup(self.example.stop)
        self.browser = Browser()
        self.addCleanup(self.browser.close)

    def enter(self, name, room):
        """Somebody comes in a tab of their own."""
        tab = self.browser.new_tab(self.example.url())
        self.browser.run("document.getElementById('room').value = arguments[0]", room)
        self.browser.type("#name", name)
        self.browser.click("#enter button")
        self.browser.wait_for("return !document.getElementById('say').hidden")
        return tab

    def say(self, tab, text):
        self.browser.use(tab)
        self.browser.type("#text", text)
        self.browser.click("#say button")

    def wait_for_lines(self, tab, lines):
        self.browser.use(tab)
        self.browser.wait_for(f"{LINES}.length >= arguments[0]", len(lines))
        self.assertEqual(self.browser.run(LINES), lines)

    def wait_for_here(self, tab, names):
        self.browser.use(tab)
        self.browser.wait_for(HERE, f"here: {', '.join(names)}")

    def test_two_tabs_talk_and_see_each_other(self):
        ann = self.enter("ann", "lobby")
        bob = self.enter("bob", "lobby")
        for tab in (ann, bob):
            self.wait_for_here(tab, ["ann", "bob"])
        self.say(ann, "hello, bob")
        self.wait_for_lines(bob, ["ann: hello, bob"])
        self.say(bob, "<b>wörld</b> 🦀")
        for tab in (ann, bob):
            self.wait_for_lines(tab, ["ann: hello, bob", "bob: <b>wörld</b> 🦀"])
        eve = self.enter("eve", "elsewhere")
        self.wait_for_here(eve, ["eve"])
        self.say(eve, "is anybody here?")
        self.wait_for_lines(eve, ["eve: is anybody here?"])
        self.browser.use(bob)
        self.browser.close_tab()
        self.wait_for_here(ann, ["ann"])
        self.assertEqual(len(self.browser.run(LINES)), 2, "of another room nothing is heard")
        self.example.interrupt()
        self.browser.wait_for("return document.getElementById('here').textContent == 'left (1001)'")


if __name__ == "__main__":
    unittest.main()
