"""A headless Chromium that reaches no network, driven by the WebDriver protocol: chromedriver takes JSON over HTTP."""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import until

PROGRAMS = ("chromium", "chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1600,1000 "
    "--proxy-server=http://127.0.0.1:9"  # where nobody listens
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's key of an element


def missing() -> str | None:
    """Why there is no browser here, or None."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"opens a browser: apt-get install chromium chromium-driver (no {', '.join(absent)})" if absent else None


class Browser:
    """A session of a browser; elements are found by XPath."""

    def __init__(self, address: str, capabilities: dict):
        self._address = f"{address}/session"
        self._address += f"/{self._ask('POST', '', capabilities=capabilities)['sessionId']}"

    def open(self, page: Path) -> None:
        """Show a page, on which nothing glides: a click would miss what moves away."""
        self._ask("POST", "/url", url=page.as_uri())
        self.run(
            "document.head.append(document.createElement('style')); "
            "document.head.lastChild.textContent = '* { transition: none !important; }'"
        )

    def click(self, xpath: str) -> None:
        """Click the one element there is."""
        (found,) = self._find(xpath)
        self._ask("POST", f"/element/{found}/click")

    def texts(self, xpath: str) -> list[str]:
        """What a reader sees of the elements."""
        return [self._ask("GET", f"/element/{found}/text") for found in self._find(xpath)]

    def run(self, script: str):
        """What a script returns; a promise is awaited."""
        return self._ask("POST", "/execute/sync", script=script, args=[])

    def console(self) -> list[dict]:
        """The entries since the last call, with ``level`` and ``message``."""
        return self._ask("POST", "/se/log", type="browser")

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))

    def quit(self) -> None:
        self._ask("DELETE", "")

    def _find(self, xpath: str) -> list[str]:
        return [found[ELEMENT] for found in self._ask("POST", "/elements", using="xpath", value=xpath)]

    def _ask(self, method: str, path: str, **body):
        content = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(f"{self._address}{path}", content, method=method)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path} {body}: {json.load(error)['value']['message']}") from error


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with an empty profile."""
    with tempfile.TemporaryDirectory() as folder:
        printed = Path(folder, "printed.txt")
        with printed.open("w") as out:
            environment = os.environ | {"HOME": folder}
            driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=out, stderr=out, env=environment)
        try:
            until(lambda: "started successfully on port" in printed.read_text(), 60)
            port = re.search(r"started successfully on port (\d+)", printed.read_text())[1]
            options = {
                "args": [*FLAGS.split(), f"--user-data-dir={folder}/profile"],
                "binary": shutil.which("chromium"),
            }
            wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            session = Browser(f"http://127.0.0.1:{port}", {"alwaysMatch": wanted})
            try:
                yield session
            finally:
                session.quit()
        finally:
            driver.terminate()
            driver.wait(60)
