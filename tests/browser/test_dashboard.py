"""The dashboard of `ringway run --admin` in a real browser: figures, both themes, a telephone, an end and a new start.

Where RINGWAY_SCREENSHOTS names a directory, pictures of it are left there.
"""

import base64
import http.client
import os
import signal
import tempfile
import threading
import time
import unittest
from pathlib import Path

from program import ROOT, Program, free_port
from webdriver import Browser, missing

PHONE = 360

# Of all that the page has asked for, what was not of its own origin.
FOREIGN = "return performance.getEntriesByType('resource').map((one) => one.name).filter((name) => !name.startsWith(location.origin + '/'))"

# Text that is too close in colour to what is behind it: 4.5 is asked for (WCAG 2.2, 1.4.3).
FAINT = """
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, index) => sum + c * [0.2126, 0.7152, 0.0722][index], 0);
const behind = (node) => {
    for (let one = node; one; one = one.parentElement) {
        const color = parse(getComputedStyle(one).backgroundColor);
        if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
};
const faint = [];
for (const node of document.querySelectorAll('body *')) {
    const says = [...node.childNodes].some((child) => child.nodeType == 3 && child.textContent.trim());
    if (!says || !node.checkVisibility() || node.closest('script, style, option')) continue;
    const style = getComputedStyle(node), isSvg = node instanceof SVGElement;
    const [a, b] = [light(parse(isSvg ? style.fill : style.color)), light(behind(node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faint.push(`${node.tagName} ${node.className} ${node.textContent.trim().slice(0, 20)}: ${contrast.toFixed(2)}`);
}
return [...new Set(faint)];
"""


class Instance(Program):
    """`ringway run` with one HTTP listener and one that echoes, and the dashboard."""

    def __init__(self, admin=None, more=""):
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        self.http, self.echo = free_port(), free_port()
        self.admin = admin or free_port()
        self.directory = tempfile.TemporaryDirectory(prefix="ringway-dashboard-")
        config = Path(self.directory.name) / "r.toml"
        listener = '[[listener]]\naddress = "127.0.0.1:{}"\ntransport = "tcp"\nprotocol = "{}"\n'
        listeners = listener.format(self.http, "http") + listener.format(self.echo, "echo")
        config.write_text(listeners + f'[admin]\naddress = "127.0.0.1:{self.admin}"\n{more}')
        prefix = f"dashboard-{os.getpid()}-{self.admin}"
        command = [str(target / "debug" / "ringway"), "run", "--no-huge", "--file-prefix", prefix]
        super().__init__(command + ["--config", str(config)])
        try:
            self.wait_for_port(self.admin)
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def url(self, path="/"):
        return f"http://localhost:{self.admin}{path}"

    def stop(self, how=signal.SIGTERM):
        try:
            return super().stop(how)
        finally:
            self.directory.cleanup()


class Load:
    """Clients that ask again and again, until they are told to stop."""

    def __init__(self, port, clients=4):
        self.port, self.over = port, threading.Event()
        self.threads = [threading.Thread(target=self.ask, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def ask(self):
        while not self.over.is_set():
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
                for _ in range(500):
                    if self.over.is_set():
                        break
                    connection.request("GET", "/health")
                    connection.getresponse().read()
                    time.sleep(0.001)
                connection.close()
            except OSError:
                self.over.wait(0.05)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


@unittest.skipIf(missing(), missing())
class Dashboard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        self.instance = Instance()
        self.addCleanup(lambda: self.instance.stop(signal.SIGKILL))
        load = Load(self.instance.http)
        self.addCleanup(load.stop)
        self.size(1440, 900)
        self.browser.console()
        self.open()

    def devtools(self, command, **parameters):
        path = f"{self.browser.session}/goog/cdp/execute"
        return self.browser.ask("POST", path, {"cmd": command, "params": parameters})

    def size(self, width, height, mobile=False):
        scale = 2 if mobile else 1
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )

    def prefer(self, scheme):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.devtools("Emulation.setEmulatedMedia", features=features)

    def open(self):
        """Opens the page and waits for its first figures."""
        self.browser.open(self.instance.url())
        self.browser.run("localStorage.clear()")
        self.browser.wait_for("return document.querySelector('#messages path.line')?.getAttribute('d')")

    def picture(self, name):
        """Leaves a picture of the whole page, if that is wanted."""
        directory = os.environ.get("RINGWAY_SCREENSHOTS")
        if directory:
            size = self.browser.run("const root = document.documentElement; return [root.clientWidth, root.scrollHeight]")
            clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
            taken = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
            Path(directory, f"{name}.png").write_bytes(base64.b64decode(taken["data"]))

    def is_clean(self):
        """Nothing was complained of, and nothing was asked of anybody else."""
        self.assertEqual(self.browser.console(), [])
        self.assertEqual(self.browser.run(FOREIGN), [])

    def test_every_part_gets_its_figures(self):
        browser = self.browser
        self.assertIn("running", browser.text("#state"))
        # Of each chart a line, of each panel what it is about.
        for chart in ("messages", "bytes", "latency", "connections"):
            browser.wait_for(f"return (document.querySelector('#{chart} path.line')?.getAttribute('d') ?? '').length > 40")
        tiles = browser.run("return [...document.querySelectorAll('.tile h2')].map((one) => one.textContent)")
        self.assertEqual(tiles, ["Messages", "In", "Out", "Latency, p99", "Connections", "Lcores busy"])
        browser.wait_for("return parseFloat(document.querySelector('.tile .value').textContent) > 0")
        browser.wait_for("return document.querySelectorAll('#lcores .lcore').length == 1")
        browser.wait_for("return document.querySelectorAll('#pools .barrow').length >= 2")
        browser.wait_for("return [...document.querySelectorAll('.step')].some((one) => one.textContent.startsWith('handler'))")
        rows = "return [...document.querySelectorAll('#listeners tbody tr')].map((one) => one.textContent)"
        listeners = browser.wait_for(rows)
        self.assertEqual(len(listeners), 2)
        self.assertIn("http over tcp", listeners[0])
        browser.wait_for("return document.querySelectorAll('#drops .good, #drops table').length == 2")
        browser.click("#all summary")
        browser.wait_for("return document.querySelectorAll('#counters div').length > 30")
        # One listener alone: that nobody talks to.
        browser.run("const list = document.getElementById('listener'); list.selectedIndex = 2; list.onchange()")
        browser.wait_for("return document.querySelector('.tile .value').textContent.startsWith('0')")
        self.is_clean()

    def test_a_pointer_and_keys_read_the_charts(self):
        browser = self.browser
        browser.wait_for("return seen.samples.length >= 3")
        browser.run("document.querySelector('#messages svg').focus()")
        chart = browser.element("#messages svg")
        for key in ("\ue012", "\ue012", "\ue014"):  # left, left, right
            browser.ask("POST", f"{browser.session}/element/{chart}/value", {"text": key})
        self.assertIn("messages", browser.text("#tip"))
        browser.ask("POST", f"{browser.session}/element/{chart}/value", {"text": "\ue00c"})  # escape
        browser.wait_for("return document.getElementById('tip').hidden")
        browser.run(
            "const svg = document.querySelector('#latency svg'), box = svg.getBoundingClientRect();"
            "svg.dispatchEvent(new PointerEvent('pointermove', {clientX: box.right - 8, clientY: box.top + 20}))"
        )
        self.assertIn("p99.9", browser.text("#tip"))
        self.assertEqual(browser.run("return document.querySelectorAll('.cursor').length"), 4, "all charts point there")
        self.is_clean()

    def test_pausing_keeps_what_is_shown(self):
        browser = self.browser
        browser.ask("POST", f"{browser.session}/element/{browser.element('body')}/value", {"text": " "})
        browser.wait_for("return document.getElementById('pause').getAttribute('aria-pressed') == 'true'")
        shown = browser.run("return document.querySelector('#messages path.line').getAttribute('d')")
        seen = browser.run("return seen.samples.length")
        browser.wait_for("return seen.samples.length > arguments[0] + 1", seen)
        self.assertEqual(browser.run("return document.querySelector('#messages path.line').getAttribute('d')"), shown)
        browser.click("#pause")
        browser.wait_for("return document.querySelector('#messages path.line').getAttribute('d') != arguments[0]", shown)
        self.is_clean()

    def test_both_themes_are_legible_and_the_switch_goes_before_the_system(self):
        browser = self.browser
        ground = "return getComputedStyle(document.body).backgroundColor"
        browser.wait_for("return seen.samples.length >= 3")
        grounds = {}
        for scheme in ("light", "dark"):
            self.prefer(scheme)
            grounds[scheme] = browser.run(ground)
            self.assertEqual(browser.run(FAINT), [], scheme)
        self.assertNotEqual(grounds["light"], grounds["dark"])
        browser.click("#theme")
        self.assertEqual(browser.run(ground), grounds["light"], "chosen, whatever the system prefers")
        browser.click("#theme")
        self.prefer("light")
        self.assertEqual(browser.run(ground), grounds["dark"])
        browser.open(self.instance.url())
        self.assertEqual(browser.run(ground), grounds["dark"], "and kept")
        self.is_clean()

    def test_a_telephone_shows_all_of_it_without_scrolling_sideways(self):
        browser = self.browser
        self.size(PHONE, 740, mobile=True)
        self.open()
        browser.wait_for("return seen.samples.length >= 3")
        browser.click("#all summary")
        browser.wait_for("return document.querySelectorAll('#counters div').length > 30")
        wide = (
            "const most = document.documentElement.clientWidth;"
            "return [...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > most + 0.5"
            " && !one.closest('.sr, .tile svg, .strip')).map((one) => one.outerHTML.slice(0, 80))"
        )
        self.assertEqual(browser.run("return document.documentElement.clientWidth"), PHONE)
        self.assertEqual(browser.run(wide), [])
        self.assertLessEqual(browser.run("return document.documentElement.scrollWidth"), PHONE)
        self.is_clean()

    def test_an_instance_that_is_gone_is_said_and_one_that_is_back_is_shown(self):
        browser = self.browser
        self.instance.stop(signal.SIGKILL)
        browser.wait_for("return document.getElementById('notes').textContent.includes('does not answer. Last seen')")
        self.assertEqual(browser.text("#state"), "not answering")
        self.assertIn("(gone)", browser.run("return document.title"))
        browser.console()  # complains of each request that nobody answered
        self.instance = Instance(self.instance.admin)
        load = Load(self.instance.http)
        self.addCleanup(load.stop)
        browser.wait_for("return document.getElementById('state').textContent == 'running'")
        browser.wait_for("return document.getElementById('notes').childElementCount == 0")
        browser.wait_for("return !seen.samples.at(-1).gap")

    def test_a_token_is_asked_for_once(self):
        browser, token = self.browser, "a-token-for-the-tests"
        self.instance.stop(signal.SIGKILL)
        self.instance = Instance(more=f'token = "{token}"\n')
        browser.open(self.instance.url())
        browser.type("#token", "a-wrong-one-for-the-tests")
        browser.click("button")
        browser.wait_for("return location.search.includes('wrong')")
        browser.type("#token", token)
        browser.click("button")
        browser.wait_for("return document.querySelector('#messages path.line')?.getAttribute('d')")
        self.assertEqual(browser.run("return location.search"), "", "the token does not stay in the address")
        self.assertEqual(browser.run("return document.cookie"), "", "and no script reads the cookie")
        browser.open(self.instance.url())
        browser.wait_for("return document.getElementById('state')?.textContent == 'running'")

    def test_pictures(self):
        if not os.environ.get("RINGWAY_SCREENSHOTS"):
            self.skipTest("RINGWAY_SCREENSHOTS names no directory")
        self.browser.run("setWindow(60); draw()")
        self.browser.wait_for("return seen.samples.length >= 58 && !view.cursor")
        for scheme in ("dark", "light"):
            self.prefer(scheme)
            self.picture(f"dashboard-{scheme}")
        self.size(PHONE, 740, mobile=True)
        self.browser.wait_for("return document.querySelector('#messages svg').clientWidth < 360")
        self.picture("dashboard-phone")


if __name__ == "__main__":
    unittest.main()
