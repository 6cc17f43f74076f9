"""The page of `last demo`: in a browser, as people use it, and as those use it who mean harm."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from browsing import need_browser, run_node
from camera_films import needs_mediapipe, slide, write
from conftest import ROOT
from test_browser import free_port

from last import demo, samples
from last.core import ParseError
from last.demo import DemoConfig, ask, check_film
from last.reasons import Moment, explain
from last.samples import SAMPLES, Sample, actor, fitting_samples
from last.scenes import scene, sentences
from last.skeletons import get_skeleton

CAUSAL = str(ROOT / "nbs/trained/hdm05_causal")
NANO = str(ROOT / "nbs/trained/hdm05_nano")


# questions and results


@pytest.mark.parametrize("model", [CAUSAL, NANO], ids=["stream", "clips"])
def test_what_is_explained_is_what_was_answered(model):
    found = ask("an actor kicks", DemoConfig(model))
    moment = Moment.of(found.prediction)
    reason = explain(found, moment, model)
    answered = found.prediction.probabilities[moment.person, moment.answer, moment.label]
    assert np.isclose(reason.fall[0], answered, atol=1e-4)
    assert found.prediction.classes[moment.label] == "kick" and reason.fall[1] < answered

    told = json.loads(scene(found, reason.values))
    assert np.shape(told["points"])[:3] == np.shape(told["values"]) == found.points.shape[:3]
    assert len(told["moments"]) == len(told["curves"][0]["p"])
    assert "kick" in [curve["name"] for curve in told["curves"]]


def test_frames_of_another_rate_are_explained_as_they_were_read(tmp_path, monkeypatch):
    kick = actor("kick")
    slow = Sample(kick.skeleton, kick.points[::2])
    monkeypatch.setattr(samples, "RATE", 15.0)
    monkeypatch.setitem(SAMPLES, "slow", lambda: slow)
    found = ask("slow", DemoConfig(CAUSAL))
    moment = Moment.of(found.prediction)
    reason = explain(found, moment, CAUSAL)
    answered = found.prediction.probabilities[moment.person, moment.answer, moment.label]
    assert np.isclose(reason.fall[0], answered, atol=0.02)  # part of a step is left over
    assert reason.fall[1] < 0.5  # with frames at half the rate, 0.94


def test_another_answer_is_not_explained():
    found = ask("an actor kicks", DemoConfig(CAUSAL))
    moment = Moment.of(found.prediction)
    found.prediction.probabilities[moment.person, moment.answer, moment.label] -= 0.5
    assert explain(found, moment, CAUSAL) is None


def test_nobody_and_lost_joints(monkeypatch):
    kick = actor("kick")
    kick.points[:, 20] = np.nan  # the head
    kick.points[3:] = np.nan
    monkeypatch.setattr(Sample, "pictures", lambda self: iter(()))
    monkeypatch.setattr("last.reasons.write_film", lambda path, frames: path.write_bytes(b""))
    monkeypatch.setitem(SAMPLES, "lost", lambda: kick)
    found = ask("lost", DemoConfig(NANO))
    assert Moment.of(found.prediction) is None
    assert "not whole enough" in sentences(found, None, sample=True)

    told = json.loads(scene(found, None))
    assert told["points"][0][-1][0] == [None] * 3 and told["curves"] == []


@needs_mediapipe
def test_a_photograph_is_looked_at():
    found = ask("a photograph slides by", DemoConfig(seconds=0.5))
    assert found.points.shape[1] > 5 and found.overlay


def test_settings_that_never_answer_are_refused_at_once():
    with pytest.raises(ValueError, match="step"):
        demo.build_page(DemoConfig(NANO, step=0))


def test_a_long_source_is_cut():
    found = ask("three actions in a row", DemoConfig(CAUSAL, seconds=1.0))
    assert found.prediction.frames[-1] == 1.0 and found.points.shape[1] == 31


@pytest.mark.parametrize(
    "content, message",
    [
        (b"#EXTM3U\n#EXTINF:9,\n/etc/passwd\n", "not a film"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "not a film"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a film"),
        (b"", "not a film"),
        (b"\0\0\0\x20ftypisom" + bytes(2_000_000), "2 MB, expected at most 1"),
    ],
    ids=["playlist", "list", "picture", "empty", "large"],
)
def test_what_is_no_film_is_not_opened(tmp_path, content, message):
    file = tmp_path / "film.mp4"
    file.write_bytes(content)
    with pytest.raises(ParseError, match=f"film.mp4: {message}"):
        check_film(file, 1)


def test_samples_fit():
    assert fitting_samples(get_skeleton("core15")) == list(SAMPLES)
    assert len(fitting_samples(get_skeleton("hdm05"))) == 3


# the server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    "The page in this process, with uploads that are removed at once."
    pytest.importorskip("gradio")
    folder = tmp_path_factory.mktemp("uploads")
    patch = pytest.MonkeyPatch()
    patch.setattr(demo, "KEPT", (1, 1))
    patch.setenv("GRADIO_TEMP_DIR", str(folder))
    patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    cfg = DemoConfig(CAUSAL, port=free_port(), browser=False, megabytes=1)
    page = demo.build_page(cfg)
    demo.open_page(page, cfg)
    yield f"http://127.0.0.1:{cfg.port}", folder
    page.close()
    patch.undo()


SHUT = ("info", "openapi.json", "proxy=http://127.0.0.1:1/", "file=http://127.0.0.1:1/x", "runs")
SHUT += ("call/run", "component_server", "process_recording", "vibe-code", "app_id")


def test_addresses_that_the_page_does_not_need_are_shut(server):
    import httpx

    url, _ = server
    assert httpx.get(url).status_code == 200
    for path in SHUT:
        assert httpx.get(f"{url}/gradio_api/{path}").text == "not found", path
    assert httpx.get(f"{url}/monitoring/summary").status_code == 404
    assert httpx.get(url, headers={"host": "evil.example"}).status_code == 400


def test_no_path_of_the_machine_is_read(server):
    import httpx

    url, folder = server
    for path in ("/etc/passwd", f"{folder}/../x", str(ROOT / "README.md"), "../../etc/passwd"):
        answer = httpx.get(f"{url}/gradio_api/file={path}")
        assert answer.status_code in (403, 404), path
    assert httpx.get(f"{url}/static/../../../../../etc/passwd").status_code in (403, 404)

    film = {"path": str(ROOT / "last/data/astronaut.mp4"), "meta": {"_type": "gradio.FileData"}}
    for number in (1, 2):  # of the events: an upload, a recording
        question = {"data": [film], "fn_index": number, "session_hash": f"s{number}"}
        httpx.post(f"{url}/gradio_api/queue/join", json=question).raise_for_status()
        data = f"{url}/gradio_api/queue/data?session_hash=s{number}"
        said = httpx.get(data, timeout=60).text
        assert '"success":false' in said and "film" not in said.split("process_completed")[1]


def test_uploads_are_limited_and_removed(server):
    import httpx

    url, folder = server
    large = {"files": ("x.mp4", bytes(1_100_000))}
    assert httpx.post(f"{url}/gradio_api/upload", files=large).status_code == 413

    small = {"files": ("x.mp4", b"a film")}
    (path,) = httpx.post(f"{url}/gradio_api/upload", files=small).json()
    assert path.startswith(str(folder))
    deadline = time.monotonic() + 30
    while os.path.exists(path):
        assert time.monotonic() < deadline, "an upload was kept"
        time.sleep(0.2)


# in a browser


def write_webcam(path, pictures, rate=10):
    "What Chromium plays as a webcam: raw frames, 4:2:0."
    from PIL import Image

    height, width = pictures[0].shape[:2]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{rate}:1 Ip C420jpeg\n".encode())
        for picture in pictures:
            y, *colors = Image.fromarray(picture).convert("YCbCr").split()
            half = [color.resize((width // 2, height // 2)) for color in colors]
            file.write(b"FRAME\n" + b"".join(plane.tobytes() for plane in (y, *half)))


@pytest.fixture
def watched(tmp_path):
    "`last demo` in a process of its own; its address, and what it talked to."
    need_browser()
    port, talks = free_port(), tmp_path / "talks"
    command = [sys.executable, str(ROOT / "tests/watched_demo.py"), str(talks)]
    command += ["--port", str(port), "--no-browser"]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)}
    env.pop("PYTHONUNBUFFERED", None)  # the address must come at once all the same
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=env)
    try:
        deadline = time.monotonic() + 180
        while f":{port}" not in (tmp_path / "log").read_text():
            assert server.poll() is None, (tmp_path / "log").read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/", talks, temporary
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)
    assert list(temporary.glob("last-demo-*")) == [], "films were left behind"


@needs_mediapipe
@pytest.mark.timeout(600)
def test_people_try_it(watched, tmp_path):
    url, talks, _ = watched
    pictures = [slide(20 * t) for t in range(8)]
    film = write(tmp_path / "film.mp4", pictures)
    write_webcam(tmp_path / "webcam.y4m", pictures)
    shots = os.environ.get("LAST_SHOTS", "-")
    arguments = (url, shots, film, tmp_path / "webcam.y4m")
    told = json.loads(run_node("demo.mjs", *arguments, timeout=580))

    assert told["outside"] == [], "the page asks somebody else"
    assert told["errors"] == []
    for name in ("sample", "phone", "film", "webcam"):
        shown = told[name]
        assert shown["moved"] and min(shown["drawn"]) > 500, (name, shown)
        assert "Milliseconds per frame" in shown["text"], (name, shown)
        assert shown["wider"] <= 0, (name, shown)

    # each of two got an answer to their own question
    frames = {name: len(SAMPLES[name]().points) for name in ("an actor kicks", "a puppet squats")}
    assert abs(told["sample"]["seconds"] - frames["an actor kicks"] / 30) < 0.1
    assert abs(told["phone"]["seconds"] - frames["a puppet squats"] / 30) < 0.1
    assert told["film"]["picture"] == told["webcam"]["picture"] == [640, 480]
    assert "kick" in told["sample"]["text"].split("Milliseconds")[0]
    assert "pose" in told["film"]["text"] and "pose" not in told["sample"]["text"]

    for line in talks.read_text().splitlines():
        assert "127.0.0.1" in line or "localhost" in line, f"the server asks somebody else: {line}"
