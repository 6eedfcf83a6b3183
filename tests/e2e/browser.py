"""Headless Chromium, driven through ChromeDriver's own HTTP interface (W3C WebDriver)."""

import base64
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from quart_app.local_server.folder import free_port

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
PATIENCE = 20.0
# No background traffic to anybody; as root there is no sandbox.
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-dev-shm-usage", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]


def missing() -> str:
    """Say what is not installed; empty if all is there."""
    wanted = {"chromium": _chromium(), "chromedriver": shutil.which("chromedriver")}
    return ", ".join(name for name, path in wanted.items() if path is None)


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("google-chrome")


class Browser:
    """A browser with an empty profile, for the length of a `with` block."""

    def __init__(self, *, width: int = 1100, height: int = 1400) -> None:
        self._profile = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        port = free_port()
        self._driver = subprocess.Popen(
            [shutil.which("chromedriver") or "chromedriver", f"--port={port}"],
            env={**os.environ, "TMPDIR": self._profile.name},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE * 3)
        self._session = ""
        self._flags = [*FLAGS, f"--window-size={width},{height}"]

    def __enter__(self) -> Self:
        try:
            self._wait_for_driver()
            options = {
                "binary": _chromium(),
                "args": [*self._flags, f"--user-data-dir={self._profile.name}/p"],
            }
            capabilities = {
                "alwaysMatch": {
                    "goog:chromeOptions": options,
                    "goog:loggingPrefs": {"browser": "ALL"},
                }
            }
            answer = self._call("POST", "/session", {"capabilities": capabilities})
            self._session = f"/session/{answer['sessionId']}"
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def go(self, url: str) -> None:
        """Load *url*."""
        self._call("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:
        """Run JavaScript in the page; return what it returns."""
        body = {"script": script, "args": list(arguments)}
        return self._call("POST", f"{self._session}/execute/sync", body)

    def text(self, selector: str) -> str:
        """The text of the first element that fits."""
        return str(self._call("GET", f"{self._element(selector)}/text"))

    def click(self, selector: str) -> None:
        """Click on the first element that fits."""
        self._call("POST", f"{self._element(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        """Type into the first element that fits."""
        self._call("POST", f"{self._element(selector)}/value", {"text": text})

    def wait_for(self, script: str, *, seconds: float = PATIENCE) -> Any:
        """Wait until *script* returns something true; return it."""
        deadline = time.monotonic() + seconds
        while not (found := self.run(script)):
            if time.monotonic() > deadline:
                message = f"never true: {script}\n{self.run('return document.body.innerText')}"
                raise AssertionError(message)
            time.sleep(0.05)
        return found

    def look(self, file: Path, *, dark: bool = False, phone: bool = False) -> None:
        """Save a picture of the page as somebody sees it."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        if phone:
            self.command(
                "Emulation.setDeviceMetricsOverride",
                width=390,
                height=1900,
                deviceScaleFactor=2,
                mobile=True,
            )
        picture = self._call("GET", f"{self._session}/screenshot")
        file.write_bytes(base64.b64decode(picture))
        self.command("Emulation.clearDeviceMetricsOverride")

    def command(self, name: str, **parameters: object) -> Any:
        """Send a command of the DevTools protocol."""
        body = {"cmd": name, "params": parameters}
        return self._call("POST", f"{self._session}/goog/cdp/execute", body)

    def complaints(self) -> list[str]:
        """What the console said since this was last asked."""
        entries = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [str(entry["message"]) for entry in entries]

    def _element(self, selector: str) -> str:
        body = {"using": "css selector", "value": selector}
        found = self._call("POST", f"{self._session}/element", body)
        return f"{self._session}/element/{found[ELEMENT]}"

    def _call(self, method: str, path: str, body: object = None) -> Any:
        answer = self._http.request(method, path, json=body)
        value = answer.json()["value"]
        if answer.is_error:
            raise AssertionError(value["message"])
        return value

    def _wait_for_driver(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                self._http.get("/status")
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return
        message = "chromedriver does not answer"
        raise AssertionError(message)

    def _end(self) -> None:
        try:
            if self._session:
                self._http.delete(self._session)
        finally:
            self._http.close()
            self._driver.terminate()
            self._driver.wait(PATIENCE)
            self._profile.cleanup()
