"""A headless Chromium, driven over WebDriver (W3C) with the standard library alone.

    with Browser() as browser:
        browser.open("http://localhost:8080/")
        tab = browser.new_tab("http://localhost:8080/")   # browser.use(tab) goes back and forth
        browser.type("#text", "hello")
        browser.click("#send")
        browser.wait_for("return document.title == 'done'")
        browser.run("return 1 + 1")                        # JavaScript, whose result comes back
        browser.await_("return fetch('/').then((r) => r.status)")

What the page or its console complains of is in `browser.console()`.
"""

import json
import shutil
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from program import Program, free_port

# How long a page may take for anything, in seconds: a machine that is busy with much else is slow.
PATIENCE = 60

# The key of an element's name in WebDriver's JSON.
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


def missing():
    """What is not installed, or None."""
    for name in ("chromium", "chromedriver"):
        if shutil.which(name) is None:
            return f"{name} is not installed: apt-get install --yes chromium chromium-driver"
    return None


class Browser:
    """One browser with a profile of its own, which is gone behind it."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="ringway-browser-")
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        # Nothing of the surroundings' proxies: everything is on this machine.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.driver = Program(["chromedriver", f"--port={port}"])
        self.session = None
        try:
            self.driver.wait_for_port(port)
            arguments = ARGUMENTS + [f"--user-data-dir={self.profile}"]
            options = {"binary": shutil.which("chromium"), "args": arguments}
            wanted = {
                "browserName": "chrome",
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL"},
            }
            answer = self.begin({"capabilities": {"alwaysMatch": wanted}})
            self.session = f"/session/{answer['sessionId']}"
            times = {"script": PATIENCE * 1000, "pageLoad": PATIENCE * 1000}
            self.ask("POST", f"{self.session}/timeouts", times)
        except BaseException:
            self.close()
            raise

    def begin(self, wanted):
        """Starts the browser. Where the machine does not let it, that is said, and what needs it is skipped."""
        try:
            return self.ask("POST", "/session", wanted)
        except (AssertionError, OSError) as why:
            raise unittest.SkipTest(f"chromium does not start on this machine: {why}") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        try:
            if self.session:
                self.ask("DELETE", self.session)
        finally:
            self.driver.stop()
            shutil.rmtree(self.profile, ignore_errors=True)

    def ask(self, method, path, body=None):
        """One request of WebDriver; its errors are raised with what they say."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json; charset=utf-8"}
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        try:
            with self.opener.open(request, timeout=2 * PATIENCE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise AssertionError(f"{method} {path}: {value['error']}: {value['message']}") from None

    def open(self, url):
        self.ask("POST", f"{self.session}/url", {"url": url})

    def new_tab(self, url):
        """Opens a page in a tab of its own, and goes there; its name, for `use`."""
        tab = self.ask("POST", f"{self.session}/window/new", {"type": "tab"})["handle"]
        self.use(tab)
        self.open(url)
        return tab

    def tab(self):
        """The name of the tab in use."""
        return self.ask("GET", f"{self.session}/window")

    def use(self, tab):
        self.ask("POST", f"{self.session}/window", {"handle": tab})

    def close_tab(self):
        """Closes the tab in use; another one is to be used then."""
        self.ask("DELETE", f"{self.session}/window")

    def run(self, script, *arguments):
        """The result of JavaScript in the page: `return 1 + arguments[0]`."""
        body = {"script": script, "args": list(arguments)}
        return self.ask("POST", f"{self.session}/execute/sync", body)

    def await_(self, script, *arguments):
        """The same of JavaScript that returns a promise: what that comes to."""
        wrapped = (
            "const done = arguments[arguments.length - 1];"
            "const given = [...arguments].slice(0, -1);"
            f"(async function() {{ {script} }})(...given)"
            ".then((value) => done({value}), (error) => done({error: String(error)}));"
        )
        body = {"script": wrapped, "args": list(arguments)}
        outcome = self.ask("POST", f"{self.session}/execute/async", body)
        assert "error" not in outcome, outcome["error"]
        return outcome.get("value")

    def wait_for(self, script, *arguments):
        """Runs JavaScript until its result is true in some way, and returns that."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            result = self.run(script, *arguments)
            if result:
                return result
            time.sleep(0.02)
        raise AssertionError(f"not within {PATIENCE} s: {script} (the console: {self.console()})")

    def element(self, selector):
        found = {"using": "css selector", "value": selector}
        return self.ask("POST", f"{self.session}/element", found)[ELEMENT]

    def type(self, selector, text):
        element = self.element(selector)
        if all(ord(character) <= 0xFFFF for character in text):
            self.ask("POST", f"{self.session}/element/{element}/value", {"text": text})
        else:
            # Some versions of ChromeDriver have keys for the characters of the basic plane alone.
            insert = "arguments[0].focus(); return document.execCommand('insertText', false, arguments[1])"
            assert self.run(insert, {ELEMENT: element}, text), f"{selector} takes no text"

    def click(self, selector):
        self.ask("POST", f"{self.session}/element/{self.element(selector)}/click", {})

    def text(self, selector):
        return self.ask("GET", f"{self.session}/element/{self.element(selector)}/text")

    def console(self):
        """What was complained of since it was asked last."""
        return [line["message"] for line in self.ask("POST", f"{self.session}/se/log", {"type": "browser"})]
