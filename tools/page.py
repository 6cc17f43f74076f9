"""A page that recognizes actions in a browser, without a server that computes.

`python tools/page.py RUN OUT` exports RUN (a causal network for the 15 joints of `core15`) as one
step, and writes a folder of static files: the page of `page/`, the step, what MediaPipe and
onnxruntime need in a browser (from build/node: `make node`), and samples of HDM05. `make page`
does it. Any web server can show the folder, for instance `python -m http.server -d OUT`.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from last.core import find_run
from last.datasets import NOTHING
from last.export import ExportConfig, export
from last.hdm05 import ACTIONS, CREDIT
from last.joint_maps import joint_map
from last.placement import CALM, GONE
from last.pose import PoseConfig
from last.preparation import PrepareConfig, prepare
from last.resampling import LONGEST_GAP
from last.runs import Run, load_run, trained_on
from last.simulated_streams import make_stream
from last.skeletons import get_skeleton
from last.steppers import file_stepper
from last.store import Store
from last.streaming import FORGOTTEN
from last.watchers import ENOUGH

ROOT = Path(__file__).parent.parent
NODE = ROOT / "build/node/node_modules"
ONNXRUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
MEDIAPIPE = (
    "pose.js",
    "pose_web.binarypb",
    "pose_landmark_full.tflite",
    "pose_solution_packed_assets.data",
    "pose_solution_packed_assets_loader.js",
    "pose_solution_simd_wasm_bin.js",
    "pose_solution_simd_wasm_bin.wasm",
)
COMPLEXITY = 1  # of MediaPipe's landmark network: full, as in `last.pose`
VISIBLE = 0.5  # how sure MediaPipe must be of a joint, as in `last.pose`
SECONDS = (1.0, 2.0)  # of nothing before each action of a sample


def facts_of(run: Run, step: Path) -> dict:
    "What the page has to know about its network, and how joints come to it."
    stepper = file_stepper(step)
    body = get_skeleton("mediapipe33")
    matrix = joint_map(body, stepper.skeleton)
    parts = [[[int(j), float(row[j])] for j in np.flatnonzero(row)] for row in matrix]
    pose = dict(
        complexity=COMPLEXITY,
        visible=VISIBLE,
        view=PoseConfig.view,
        longest=PoseConfig.longest,
        calm=CALM,
        gone=GONE,
        map=parts,
    )
    return dict(
        classes=stepper.classes,
        nothing=NOTHING,
        skeleton=stepper.skeleton.as_dict(),
        frames=stepper.frames,
        rate=stepper.rate,
        state=[list(shape) for shape in stepper.shapes],
        longest_gap=LONGEST_GAP,
        forgotten=FORGOTTEN,
        enough=ENOUGH,
        root=list(stepper.skeleton.root),
        parameters=sum(p.numel() for p in run.model.parameters()),
        pose=pose,
    )


def check_run(run: Run, name: str) -> None:
    "An error if the page could not show this network."
    info = run.info
    if info.skeleton != get_skeleton("core15") or not info.pre.causal or info.pre.persons != 1:
        found = f"{info.model} for {info.pre.persons} persons with {info.skeleton.name} joints"
        expected = "a causal network for one person of core15"
        raise ValueError(f"{name}: expected {expected}, found {found}")
    if info.classes != [*ACTIONS.values(), NOTHING]:
        raise ValueError(f"{name}: expected the classes of HDM05 and {NOTHING!r}")


def samples_of(run: Run, name: str) -> list[dict]:
    "For each person of HDM05's test part: every action once, with pauses between them."
    with tempfile.TemporaryDirectory() as folder:
        prepare(PrepareConfig(out=f"{folder}/core15", dataset="hdm05", as_skeleton="core15"))
        store = Store(f"{folder}/core15")
        index = store.index
        tested = store.part("xsub", "test")
        learned = trained_on(name)
        g = torch.Generator().manual_seed(0)

        samples = []
        for subject in np.unique(index.subjects[tested]):
            own = tested[index.subjects[tested] == subject]
            labels, first = np.unique(index.labels[own], return_index=True)
            order = torch.randperm(len(labels), generator=g).numpy()
            chosen = own[first[order]]
            clips = [store[n] for n in chosen]
            given = len(store.classes), store.skeleton, run.info.pre.rate, g, SECONDS
            frames, what = make_stream(clips, labels[order].tolist(), *given)
            seen = not learned.isdisjoint(index.names[chosen].tolist())
            samples.append(sample(int(subject), frames[:, 0], what, seen))

    return samples


def sample(
    subject: int,
    frames: np.ndarray,  # (T, V, 3) meters
    labels: np.ndarray,  # (T,)
    seen: bool,  # was any of the clips learned from?
) -> dict:
    "A stream as the page reads it: whole millimeters, frame by frame."
    known = "learned from" if seen else "never saw"
    words = f"Actor {subject}, whom the network {known}: eleven actions, with invented pauses "
    words += f"between them. {CREDIT}"
    millimeters = np.rint(1000 * frames).astype(int).ravel().tolist()
    return dict(name=f"Actor {subject}", words=words, joints=millimeters, labels=labels.tolist())


def write_compact(path: Path, data: dict | list) -> None:
    "JSON without spaces, for many numbers."
    path.write_text(json.dumps(data, separators=(",", ":")), encoding="utf-8")


def vendor_files() -> dict[str, Path]:  # place below the page -> file
    "What the two packages from npm need in a browser."
    sources = {"onnxruntime": NODE / "onnxruntime-web/dist", "mediapipe": NODE / "@mediapipe/pose"}
    chosen = {"onnxruntime": ONNXRUNTIME, "mediapipe": MEDIAPIPE}
    files = {
        f"vendor/{name}/{file}": sources[name] / file for name in chosen for file in chosen[name]
    }
    for file in files.values():
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such file; `make node` brings it")
    return files


def version_of(package: str) -> str:
    "The version of a package from npm that is installed."
    return json.loads((NODE / package / "package.json").read_text(encoding="utf-8"))["version"]


def megabytes(folder: Path) -> float:
    "The size of all files below a folder."
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def write_page(
    name: str,  # folder of a run, or the name of weights that ship
    out: Path,
) -> float:  # megabytes
    "The whole page, in a new folder."
    name = str(find_run(name))
    run = load_run(name)
    check_run(run, name)
    vendor = vendor_files()
    if out.exists() and any(out.iterdir()) and not (out / "model.json").is_file():
        raise FileExistsError(f"{out}: holds something else than a page; choose another folder")
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(ROOT / "page", out, ignore=shutil.ignore_patterns("NOTICE.txt"))
    for place, file in vendor.items():
        (out / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, out / place)

    # the network
    export(ExportConfig(name, str(out / "model.onnx")))
    (out / "model.safetensors").unlink()
    write_compact(out / "samples.json", samples_of(run, name))

    # what it says about itself
    notice = (ROOT / "page/NOTICE.txt").read_text(encoding="utf-8")
    for package in ("onnxruntime-web", "@mediapipe/pose"):
        notice = notice.replace("{" + package + "}", version_of(package))
    license = (ROOT / "LICENSE").read_text(encoding="utf-8")
    (out / "NOTICE.txt").write_text(notice + "\n" + license, encoding="utf-8")

    facts = facts_of(run, out / "model.onnx")
    facts["pose"]["megabytes"] = round(megabytes(out / "vendor/mediapipe"))
    facts["size"] = round(megabytes(out))
    write_compact(out / "model.json", facts)
    return megabytes(out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    size = write_page(sys.argv[1], Path(sys.argv[2]))
    print(f"{sys.argv[2]}: {size:.1f} MB; look at it with: python -m http.server -d {sys.argv[2]}")
