"""Chromium and node for the tests that need them."""

import functools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "tools"))
from paper import find_browser

NODE_MODULES = ROOT / "build/node/node_modules"


def missing() -> str:
    "What a test in a browser lacks, as a reason to skip it; empty if nothing."
    if not find_browser():
        return "no Chromium: apt-get install chromium"
    if not shutil.which("node"):
        return "no node"
    if not (NODE_MODULES / "playwright-core").is_dir():
        return "no playwright-core: make node"
    return ""


def need_browser() -> None:
    "Skip, with the reason; but where LAST_BROWSER=1 promises a browser, its absence is a failure."
    reason = missing()
    if reason and os.environ.get("LAST_BROWSER") == "1":
        pytest.fail(f"LAST_BROWSER=1, but {reason}")
    if reason:
        pytest.skip(reason)


def run_node(script: str, *arguments, timeout: int = 120) -> str:
    "What a script of tests/browser prints."
    command = ["node", str(ROOT / "tests/browser" / script), find_browser(), *map(str, arguments)]
    env = os.environ | {"NODE_PATH": str(NODE_MODULES)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=env)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


class Quiet(SimpleHTTPRequestHandler):
    "A web server's answers, without its log."

    def log_message(self, *arguments):
        "Say nothing."


@contextmanager
def served(folder: Path) -> Iterator[str]:
    "The address at which a folder can be read meanwhile."
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
