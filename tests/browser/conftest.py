"""One headless Chromium and one JupyterLab for all browser tests; both are optional and skipped by name.

Every page fails its test on an error in the console and on any request that leaves this machine.  Screenshots go to
out/screenshots, to be looked at.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
LOCAL = ("http://127.0.0.1", "data:", "blob:", "file:", "about:")
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
    "docmanager-extension/plugin": {"autosave": False},
}


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright (pip install playwright)")
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no Chromium (Debian package chromium)")
    with playwright.sync_playwright() as p:
        profile = str(tmp_path_factory.mktemp("profile"))
        context = p.chromium.launch_persistent_context(
            profile, executable_path=found, headless=True, args=FLAGS, viewport={"width": 1400, "height": 1000}
        )
        yield context
        context.close()


def watch(tab: Any) -> list[str]:
    """What goes wrong in a page from now on: errors in the console, requests that leave this machine."""
    wrong: list[str] = []
    tab.on("console", lambda m: m.type == "error" and wrong.append(m.text))
    tab.on("pageerror", lambda e: wrong.append(str(e)))
    tab.on("request", lambda r: r.url.startswith(LOCAL) or wrong.append(f"left this machine: {r.url}"))
    tab.set_default_timeout(10_000)
    return wrong


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    tab = chromium.new_page()
    wrong = watch(tab)
    tab.wrong = wrong
    yield tab
    tab.close()
    assert not wrong


@pytest.fixture
def screenshot(page: Any) -> Any:
    folder = ROOT / "out" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return lambda name: page.screenshot(path=str(folder / f"{name}.png"))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A JupyterLab with private settings, serving a copy of the notebooks and data sets; yields its URL."""
    home = tmp_path_factory.mktemp("jupyter")
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    (root / "datasets").symlink_to(ROOT / "datasets")
    for name, value in SETTINGS.items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    folders = {"CONFIG": "config", "DATA": "data", "RUNTIME": "run"}
    private = {f"JUPYTER_{key}_DIR": str(home / name) for key, name in folders.items()}
    env = dict(os.environ, **private, IPYTHONDIR=str(home / "ipy"),
               JUPYTERLAB_SETTINGS_DIR=str(home / "settings"), JUPYTERLAB_WORKSPACES_DIR=str(home / "ws"))  # fmt: skip
    call = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
            "--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True",
            f"--ServerApp.root_dir={root}", "--LabApp.extension_manager=readonly",
            "--LabApp.expose_app_in_browser=True"]  # fmt: skip
    with open(home / "lab.log", "w") as log:
        server = subprocess.Popen(call, env=env, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    _wait(url, server, home / "lab.log")
    yield url
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/api/status", timeout=1)
            return
        except OSError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.1)
    raise AssertionError("JupyterLab did not start: " + log.read_text())
