"""Notebooks in JupyterLab, in a real browser: opened, and run from top to bottom from its menu.

All notebooks run in `test_notebooks`; these five show that a person with a browser can do it.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from browsing import need_browser, run_node
from conftest import ROOT

FIVE = ("12_tsm", "01_skeletons", "02_joint_maps", "13_linear_attention", "index")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def lab(tmp_path):
    "JupyterLab on a copy of what notebooks read; its address and token."
    need_browser()
    for name in ("nbs", "results", "experiments", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "settings.ini", tmp_path)

    port, token = free_port(), secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", f"--IdentityProvider.token={token}"]
    command += ["--LabApp.news_url=None", "--LabApp.expose_app_in_browser=True"]
    command += ["--ServerApp.port_retries=0", f"--ServerApp.root_dir={tmp_path}"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    env |= {"JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "JUPYTER_NO_CONFIG": "1"}
    with (tmp_path / "lab.log").open("w") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, env=env, cwd=tmp_path, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}/"
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{url}api?token={token}", timeout=5)
                break
            except (urllib.error.URLError, ConnectionError):
                assert server.poll() is None, (tmp_path / "lab.log").read_text()[-2000:]
                time.sleep(0.2)
        yield url, token
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


@pytest.mark.timeout(400)
def test_five_notebooks_run_in_a_browser(lab):
    shots = os.environ.get("LAST_SHOTS", "-")
    told = json.loads(run_node("notebooks.mjs", *lab, shots, *FIVE, timeout=380))

    assert told["outside"] == [], "JupyterLab asks somebody else"
    assert [notebook["name"] for notebook in told["found"]] == list(FIVE)
    for notebook in told["found"]:
        assert notebook["errors"] == [], notebook
        assert notebook["ran"] == notebook["cells"] > 0, notebook
        if notebook["name"] != "index":
            assert notebook["pictures"] >= 1, notebook
