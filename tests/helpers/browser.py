"""A real Chromium, and a real JupyterLab server, for the tests that need them: `pytest_plugins = ["browser"]`."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
OUTSIDE = re.compile(r"^(?!file:|data:|blob:|about:|http://127\.0\.0\.1:)")
NO_NEWS = '{"fetchNews": "false", "checkForUpdates": false}'
READY = """() => {
  const session = window.jupyterapp?.shell?.currentWidget?.sessionContext, kernel = session?.session?.kernel;
  return !!kernel && session.isReady && kernel.connectionStatus === "connected" && kernel.status === "idle";
}"""
MOVE = """(range, share) => {
  range.value = Math.round(share * range.max);
  range.dispatchEvent(new Event("input"));
}"""
GO_TO = "(cell) => void window.jupyterapp.shell.currentWidget.content.scrollToItem(cell)"
# page.evaluate has no time-out of its own
RUN_ALL = """(seconds) => Promise.race([
  window.jupyterapp.commands.execute("notebook:run-all-cells").then(() => "done"),
  new Promise((resolve) => setTimeout(() => resolve("not done in time"), 1000 * seconds)),
])"""


@pytest.fixture(scope="session")
def chromium():
    """The browser; without one the test is skipped, or fails where LERPNB_REQUIRE_BROWSER=1."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        say = pytest.fail if os.environ.get("LERPNB_REQUIRE_BROWSER") == "1" else pytest.skip
        say("no Chromium: apt-get install chromium, or put chromium or google-chrome on the PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page in the browser, with what went wrong on it and what it asked of other machines."""

    page: object
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def _heard(self, message) -> None:
        # JupyterLab asks for the kernels every few seconds; the server fails while one of them starts.
        if message.type == "error" and "/api/kernels?" not in message.location["url"]:
            self.errors.append(message.text)

    def _asked(self, route) -> None:
        self.outside.append(route.request.url)
        route.abort()

    def shoot(self, name: str, whole: bool = False) -> None:
        """A screenshot, where LERPNB_SHOTS names a folder for them."""
        if folder := os.environ.get("LERPNB_SHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=whole)

    def expect(self, place):
        """Playwright's patient assertions about a place on the page."""
        from playwright.sync_api import expect

        expect.set_options(timeout=60_000)
        return expect(place)

    def slide(self, place, share: float) -> None:
        """Move a page's slider to a share of its length, or press plotly's rail there."""
        if place.locator("input[type=range]").count():
            place.locator("input[type=range]").evaluate(MOVE, share)
            return
        rail = place.locator(".slider-rail-touch-rect").first
        rail.scroll_into_view_if_needed()
        box = rail.bounding_box()
        self.page.mouse.click(box["x"] + share * box["width"], box["y"] + box["height"] / 2)


def heard(context) -> Tab:
    """A new tab in a context of the browser, that notes what goes wrong and what would leave the machine."""
    tab = Tab(context.new_page())
    tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.page.on("console", tab._heard)
    context.route(OUTSIDE, tab._asked)  # sees what would leave, not what the page's policy has stopped
    return tab


@pytest.fixture
def tab(chromium):
    """Open a tab: tab(width, colours); every tab is closed at the end."""
    contexts = []

    def new(width: int = 1280, colours: str = "light") -> Tab:
        contexts.append(chromium.new_context(viewport={"width": width, "height": 1000}, color_scheme=colours))
        return heard(contexts[-1])

    yield new
    for context in contexts:
        context.close()


@dataclass
class Lab:
    """A JupyterLab server on its own folder."""

    url: str
    root: Path

    def open(self, tab: Tab, name: str) -> object:
        """Open a notebook and wait until it is drawn; returns its panel."""
        page = tab.page
        page.goto(f"{self.url}/lab/tree/{name}?reset")
        page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=60_000)
        panel = page.locator(".jp-NotebookPanel:visible")
        panel.locator(".jp-Cell").first.wait_for(timeout=60_000)
        return panel

    def turn_to(self, tab: Tab, name: str) -> object:
        """Open a notebook in the JupyterLab that the tab shows already, in place of what is open there."""
        tab.page.evaluate("[...window.jupyterapp.shell.widgets('main')].forEach(widget => widget.dispose())")
        tab.errors.clear()
        tab.page.evaluate("(path) => void window.jupyterapp.commands.execute('docmanager:open', {path})", name)
        tab.page.wait_for_function("(path) => window.jupyterapp.shell.currentWidget?.context?.path === path", arg=name)
        panel = tab.page.locator(".jp-NotebookPanel:visible")
        tab.expect(panel).to_have_count(1)
        panel.locator(".jp-Cell").first.wait_for(timeout=60_000)
        return panel

    def run_all(self, tab: Tab, seconds: int = 60) -> None:
        """Once the kernel is ready."""
        tab.page.wait_for_function(READY, timeout=60_000)
        assert tab.page.evaluate(RUN_ALL, seconds) == "done"

    def save(self, tab: Tab) -> None:
        tab.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        tab.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")


def served(folder: Path) -> Iterator[Lab]:
    """A JupyterLab on an empty folder, until its user is done."""
    server = Server(folder)
    yield server.lab()
    server.end()
    server.process.wait(20)


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Iterator[Lab]:
    """A JupyterLab for all tests to share."""
    yield from served(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="session")
def own_lab(tmp_path_factory) -> Iterator[Lab]:
    """Another person's JupyterLab, which trusts nothing of `lab`."""
    yield from served(tmp_path_factory.mktemp("own_lab"))


@pytest.fixture(scope="module")  # an open JupyterLab keeps a core busy
def reader(chromium, lab) -> Iterator[Tab]:
    """A tab on `lab` that stays open, for notebooks that one turns to."""
    context = chromium.new_context(viewport={"width": 1400, "height": 1000})
    tab = heard(context)
    tab.page.goto(f"{lab.url}/lab?reset")
    tab.page.wait_for_function("window.jupyterapp?.restored.then(() => true)", timeout=60_000)
    yield tab
    context.close()


class Server:
    """A JupyterLab being started, whose settings, trust and history lie in `home`, an empty folder, as does its root.

    Its kernels find this lerpnb.
    """

    def __init__(self, home: Path):
        self.home, settings = home, home / "settings"
        (home / "root").mkdir()
        news = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
        news.parent.mkdir(parents=True)
        news.write_text(NO_NEWS, encoding="utf-8")
        own = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        environment = os.environ | {name: str(home / folder) for name, folder in own.items()}
        environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
        environment["OMP_NUM_THREADS"] = "1"  # tiny models are slower by two threads, and the browser needs the other
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        flags = (
            f"--no-browser --allow-root --ip=127.0.0.1 --port={port} --ServerApp.port_retries=0 "
            "--IdentityProvider.token= --ServerApp.disable_check_xsrf=True --LabApp.expose_app_in_browser=True "
            f"--LabApp.extension_manager=readonly --ServerApp.root_dir={home / 'root'}"
        ).split()
        with open(home / "server.log", "w") as log:
            command = [sys.executable, "-m", "jupyterlab", *flags]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=home)

    def lab(self) -> Lab:
        """Once it answers."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            assert self.process.poll() is None, (self.home / "server.log").read_text()
            try:
                json.load(urllib.request.urlopen(f"{self.url}/api/status", timeout=2))
                return Lab(self.url, self.home / "root")
            except (urllib.error.URLError, OSError):
                time.sleep(0.25)
        pytest.fail(f"JupyterLab did not answer in a minute:\n{(self.home / 'server.log').read_text()}")

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
