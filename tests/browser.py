"""Chromium without a window, driven over chromedriver's HTTP interface (W3C WebDriver): enough to read a page, click, and take pictures."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
DRIVER = "chromedriver"


def missing() -> str | None:
    """Why no browser can be driven here; None if one can."""
    if shutil.which(DRIVER) is None:
        return "no chromedriver here (Debian: apt-get install chromium chromium-driver)"
    if not any(map(shutil.which, CHROMIUM)):
        return "no Chromium here (Debian: apt-get install chromium chromium-driver)"
    return None


class Browser:
    """One window."""

    def __init__(self, url: str) -> None:
        self._url = url

    def go(self, url: str) -> None:
        """Open a page."""
        self._ask("POST", "url", url=url)

    def script(self, source: str, *arguments: Any) -> Any:
        """What JavaScript returns."""
        return self._ask("POST", "execute/sync", script=source, args=list(arguments))

    def text(self) -> str:
        """What a reader sees of the page, in words."""
        return str(self.script("return document.body.innerText"))

    def wait(self, condition: Callable[[], Any], seconds: float = 60.0, what: str = "something on the page") -> Any:
        """Wait until the condition gives something."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, f"waited in vain for {what}; the page says: {self.text()[:2000]}"
            time.sleep(0.2)
        return found

    def wait_for(self, *words: str, seconds: float = 60.0) -> None:
        """Wait until the page says all of these."""
        self.wait(lambda: all(word in self.text() for word in words), seconds, what=f"the words {words}")

    def click(self, css: str, words: str = "", seconds: float = 60.0) -> None:
        """Click on the first visible thing of this kind that says exactly these words, if any are given."""
        find = """
            const [css, words] = arguments;
            return [...document.querySelectorAll(css)].find(e => e.getClientRects().length && (!words || (e.innerText || '').trim() === words
                || e.getAttribute('aria-label') === words)) || null;
        """
        element = self.wait(lambda: self.script(find, css, words), seconds, what=f"{css} {words!r}")
        (name,) = element.values()
        self.script("arguments[0].scrollIntoView({block: 'center'})", element)
        self._ask("POST", f"element/{name}/click")

    def size(self, width: int, height: int) -> None:
        """Give the page a size, narrower than any window if need be."""
        sizes = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._ask("POST", "goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=sizes)

    def log(self) -> list[dict[str, Any]]:
        """What the page and the browser have said on the console since it was last asked: level, source, message."""
        return list(self._ask("POST", "se/log", type="browser"))

    def picture(self, path: Path) -> Path:
        """Write a PNG of the window."""
        path.write_bytes(base64.b64decode(self._ask("GET", "screenshot")))
        return path

    def _ask(self, method: str, path: str, **body: Any) -> Any:
        return _ask(method, f"{self._url}/{path}", body if method == "POST" else None)


@contextlib.contextmanager
def browsing(width: int = 1500, height: int = 1000) -> Iterator[Browser]:
    """A browser while the block runs."""
    port = _free_port()
    driver = subprocess.Popen([DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url)
        binary = next(filter(None, map(shutil.which, CHROMIUM)))
        options = {
            "binary": binary,
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--window-size={width},{height}"],
        }
        session = _ask(
            "POST",
            f"{url}/session",
            {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}},
        )
        page = f"{url}/session/{session['sessionId']}"
        try:
            yield Browser(page)
        finally:
            _ask("DELETE", page, None)
    finally:
        driver.terminate()
        driver.wait(20)


def _ask(method: str, url: str, body: Any) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=120) as answer:
            return json.load(answer)["value"]
    except HTTPError as err:
        raise AssertionError(json.load(err)["value"]["message"]) from err


def _wait_until_ready(url: str) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            if _ask("GET", f"{url}/status", None)["ready"]:
                return
        except (URLError, OSError):
            assert time.monotonic() < end, "chromedriver does not answer"
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
