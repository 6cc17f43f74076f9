"""Feed damaged files to every reader: each must read them or name them, in bounded time and memory.

    pip install -c constraints.txt -e ".[fuzz]"                 # atheris: coverage-guided, Linux
    python experiments/fuzz.py --reader ntu --seconds 600
    python experiments/fuzz.py --seconds 60                     # every reader in turn
    python experiments/fuzz.py --plain --out results/scale/fuzz.json    # and count what was tried

Without atheris (or with --plain), files are mutated at random. A reader may raise the errors that
the command line shows in one line (ValueError, OSError), and nothing else. A file that breaks a
reader is written to --crashes. Checksums would refuse nearly every damaged file before a reader
sees it: stores, scores and answers are therefore fuzzed without theirs, and two kinds with (`npz`,
`npy`). On Linux the memory of the process is limited, so that an array whose size a file merely
claims ends in an error.
"""

import argparse
import contextlib
import io
import json
import pickle
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
ALLOWED = (ValueError, OSError)
MEMORY = 4 << 30  # bytes above what is in use at the start


def exhaust(clips) -> None:
    for _ in clips:
        pass


def seeds(folder: Path) -> dict[str, tuple[str, bytes, Callable]]:
    "Reader -> a file's name, a good file, and what reads it."
    from broken_ntu import GOOD

    from last.answers import TeacherLogits
    from last.array_formats import read_ctrgcn, read_pyskl, read_stgcn
    from last.checksums import LISTING, load_npy, load_npz, save_npy, save_npz
    from last.core import read_yaml
    from last.formats import read_kinetics, read_nw_ucla, read_sbu, read_utd_mhad
    from last.onnx_files import check_onnx
    from last.parsing import read_ntu
    from last.pictures import PictureConfig, video_pictures
    from last.runs import RunInfo, load_run, load_weights
    from last.scores import Scores
    from last.store import Store, toy_store
    from last.video import read_video

    points = np.random.default_rng(0).normal(size=(2, 4, 25, 3)).astype(np.float32)

    def saved(save: Callable, **arrays) -> bytes:
        buffer = io.BytesIO()
        save(buffer, **arrays)
        return buffer.getvalue()

    def written(name: str, save: Callable) -> bytes:
        save(folder / name)
        return (folder / name).read_bytes()

    people = [{"pose": [0.1] * 36, "score": [0.5] * 18}]
    kinetics = {"data": [{"frame_index": 1, "skeleton": people}], "label_index": 3}
    ucla = {"label": 1, "skeletons": points[0, :, :20].tolist()}
    annotation = {"frame_dir": "a", "label": 1, "keypoint": points}
    pyskl = {"split": {"xsub_train": ["a"], "xsub_val": []}, "annotations": [annotation]}
    arrays = {f"x_{part}": points.reshape(1, 8, -1)[:, :4] for part in ("train", "test")}
    arrays |= {f"y_{part}": np.eye(3)[:1] for part in ("train", "test")}
    arrays = {k: np.tile(v, (1, 1, 1)) if k[0] == "x" else v for k, v in arrays.items()}
    (folder / "train_label.pkl").write_bytes(pickle.dumps((["a"], [1])))

    def plain(name: str, save: Callable) -> bytes:
        "Without the checksum, as any other program writes an .npz."
        written(name, save)
        return saved(np.savez, **load_npz(folder / name))

    store = toy_store(folder / "store", clips=4).path
    (store / LISTING).unlink()
    names, logits = np.array(["a", "b"]), np.zeros((2, 3), np.float32)
    scores = Scores(names, np.zeros(2, int), logits)
    teacher = TeacherLogits(
        names,
        logits,
        np.zeros((2, 0), np.float32),
        np.zeros(2, int),
        np.array(list("xyz")),
        names,
        "f",
    )

    def mat() -> bytes:
        from scipy.io import savemat

        return saved(
            lambda buffer: savemat(buffer, {"d_skel": points[0, :, :20].transpose(1, 2, 0)})
        )

    def in_store(name: str) -> Callable:
        def read(path: Path) -> None:
            whole = (store / name).read_bytes()
            (store / name).write_bytes(path.read_bytes())
            try:
                opened = Store(store)
                exhaust(opened[i] for i in range(len(opened)))
            finally:
                (store / name).write_bytes(whole)

        return read

    def run_info(path: Path) -> None:
        RunInfo.read(path.parent)

    trained = Path(__file__).parent.parent / "nbs/trained/hdm05_nano"
    weights = (trained / "last.safetensors").read_bytes()
    network = load_run(trained).model
    return {
        "ntu": ("S001C001P001R001A001.skeleton", GOOD.encode(), read_ntu),
        "nw-ucla": ("a01_s01_e00_v01.json", json.dumps(ucla).encode(), read_nw_ucla),
        "utd-mhad": ("a1_s1_t1_skeleton.mat", mat(), read_utd_mhad),
        "sbu": (
            "s01s02/01/001/skeleton_pos.txt",
            "\n".join(",".join([str(t), *["0.5"] * 90]) for t in range(3)).encode(),
            read_sbu,
        ),
        "kinetics": ("x.json", json.dumps(kinetics).encode(), read_kinetics),
        "stgcn": (
            "train_data.npy",
            saved(lambda buffer: np.save(buffer, points[None].transpose(0, 4, 2, 3, 1))),
            lambda path: exhaust(read_stgcn(path)),
        ),
        "ctrgcn": ("x.npz", saved(np.savez, **arrays), lambda path: exhaust(read_ctrgcn(path))),
        "pyskl": ("x.pkl", pickle.dumps(pyskl), lambda path: exhaust(read_pyskl(path))),
        "scores": ("s.npz", plain("s.npz", scores.save), Scores.load),
        "scores-pickle": ("s.pkl", pickle.dumps({"test_1": logits[0]}), Scores.load),
        "teacher": ("t.npz", plain("t.npz", teacher.save), TeacherLogits.load),
        "npz": ("z.npz", written("z.npz", lambda p: save_npz(p, x=points)), load_npz),
        "npy": ("z.npy", written("z.npy", lambda p: save_npy(p, points)), load_npy),
        "npz-plain": ("z.npz", saved(np.savez, x=points), load_npz),
        "npy-plain": ("z.npy", saved(np.save, arr=points), load_npy),
        "store-points": ("p.npy", (store / "points.npy").read_bytes(), in_store("points.npy")),
        "store-index": ("i.npz", (store / "index.npz").read_bytes(), in_store("index.npz")),
        "store-present": ("p.npy", (store / "present.npy").read_bytes(), in_store("present.npy")),
        "store-meta": ("m.json", (store / "meta.json").read_bytes(), in_store("meta.json")),
        "run": ("run/config.json", (trained / "config.json").read_bytes(), run_info),
        "weights": ("w.safetensors", weights, lambda path: load_weights(network, path)),
        "checkpoint": ("checkpoint.pt", *checkpoint_seed()),
        "yaml": ("x.yaml", b"lr: 0.1\npre: {frames: 8}\nrows:\n- a\n", read_yaml),
        "onnx": ("x.onnx", onnx_seed(), lambda path: check_onnx(str(path))),
        "film": ("f.mp4", film_seed(), lambda path: exhaust(video_pictures(path, PictureConfig()))),
        "teacher-video": ("f.mp4", film_seed(), lambda path: read_video(path, 4, 32)),
        **keypoint_seeds(saved),
    }


def checkpoint_seed() -> tuple[bytes, Callable]:
    "A checkpoint of one layer, and what reads it into another."
    import torch

    from last.loop import TrainState, make_accelerator
    from last.training import TrainConfig

    acc = make_accelerator(TrainConfig("", "", "given", device="cpu"))

    def fresh() -> TrainState:
        layer = torch.nn.Linear(3, 3)
        return TrainState(layer, None, layer, torch.optim.AdamW(layer.parameters()))

    buffer = io.BytesIO()
    torch.save(fresh().capture(acc), buffer)
    return buffer.getvalue(), lambda path: fresh().load(acc, path)


def film_seed() -> bytes:
    "A second of colors."
    from camera_films import quadrants, write

    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder) / "f.mp4", [quadrants(t) for t in range(15)]).read_bytes()


def keypoint_seeds(saved: Callable) -> dict[str, tuple[str, bytes, Callable]]:
    "Two frames of one person, as each program writes them."
    from last.keypoints import read_keypoints

    xy = np.random.default_rng(1).uniform(1, 99, (25, 2)).round(1)
    x, y = xy[:17].T.tolist()
    whole = np.c_[xy, np.ones(25)]
    mmpose = {"keypoints": xy[:17].tolist(), "keypoint_scores": [1.0] * 17}
    texts = {
        "openpose": {"people": [{"pose_keypoints_2d": whole.ravel().tolist()}]},
        "alphapose": [
            {"image_id": f"{t}.jpg", "keypoints": whole[:17].ravel().tolist()} for t in range(2)
        ],
        "mmpose": [{"frame_id": t, "instances": [mmpose]} for t in range(2)],
        "ultralytics": [[{"keypoints": {"x": x, "y": y, "visible": [1.0] * 17}}]] * 2,
    }
    files = {name: ("k.json", json.dumps(text).encode()) for name, text in texts.items()}
    files["array"] = ("k.npz", saved(np.savez, keypoints=np.stack([whole[:17]] * 2)))
    return {f"keypoints-{name}": (*file, read_keypoints) for name, file in files.items()}


def onnx_seed() -> bytes:
    import onnx

    h = onnx.helper
    weights = onnx.numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")
    x, y = (h.make_tensor_value_info(n, onnx.TensorProto.FLOAT, (1, 3)) for n in "xy")
    graph = h.make_graph([h.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    return h.make_model(graph).SerializeToString()


def mutate(data: bytes, rng: random.Random) -> bytes:
    "One to four changes: bytes flipped, cut out, doubled, or numbers made large."
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        size = min(rng.choice((1, 1, 2, 8, 64, 1000)), len(data) - at)
        kind = rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at : at + size]
        elif kind == 2:
            data[at:at] = data[at : at + size]
        elif kind == 3:
            data[at : at + size] = rng.randbytes(size)
        elif kind == 4:
            data[at:at] = rng.choice(
                (b"9" * 20, b"-1", b"nan", b"1e999", b"\x00", b"\xff" * 8, b"\n")
            )
        else:
            del data[at:]
    return bytes(data)


def limit_memory() -> None:
    "Of this process, where Linux counts it."
    statm = Path("/proc/self/statm")
    if statm.is_file():
        import resource

        used = 4096 * int(statm.read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)


def fuzz(name: str, seconds: float, seed: int, crashes: Path) -> int:
    "One reader; the number of files tried."
    with tempfile.TemporaryDirectory() as folder:
        file, good, read = seeds(Path(folder))[name]
        path = Path(folder) / "fuzzed" / file
        path.parent.mkdir(parents=True)
        (path.parent / "train_label.pkl").write_bytes(pickle.dumps((["a"], [1])))
        limit_memory()
        warnings.simplefilter("ignore")

        def one(data: bytes) -> None:
            path.write_bytes(data)
            began = time.process_time()
            try:
                read(path)
            except ALLOWED:
                return
            except BaseException:
                crashes.mkdir(parents=True, exist_ok=True)
                (crashes / f"{name}-{abs(hash(data)):x}").write_bytes(data)
                raise
            if time.process_time() - began > 10:
                raise TimeoutError(f"{name}: ten seconds for {len(data)} bytes")

        one(good)
        rng, tried = random.Random(seed), 0
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            one(mutate(good, rng))
            tried += 1
        return tried


def fuzz_guided(name: str, seconds: float, crashes: Path) -> None:
    "The same under atheris, which follows the coverage of this package."
    import atheris

    with atheris.instrument_imports(include=["last"]):
        import last.array_formats
        import last.formats
        import last.parsing  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        file, good, read = seeds(Path(folder))[name]
        path = Path(folder) / "fuzzed" / file
        path.parent.mkdir(parents=True)
        (path.parent / "train_label.pkl").write_bytes(pickle.dumps((["a"], [1])))
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        (corpus / "good").write_bytes(good)
        crashes.mkdir(parents=True, exist_ok=True)
        warnings.simplefilter("ignore")

        def one(data: bytes) -> None:
            path.write_bytes(data)
            with contextlib.suppress(*ALLOWED):
                read(path)

        options = [f"-max_total_time={int(seconds)}", "-timeout=10", "-rss_limit_mb=4096"]
        options += [f"-artifact_prefix={crashes}/{name}-", str(corpus)]
        atheris.Setup([sys.argv[0], *options], one)
        atheris.Fuzz()


def add_result(out: Path, reader: str, row: dict) -> None:
    "One reader's row in the file of results."
    from last.core import environment, write_json

    rows = json.loads(out.read_text(encoding="utf-8"))["readers"] if out.is_file() else {}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, dict(readers=rows | {reader: row}, environment=environment()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--reader", help="default: all, one after the other")
    parser.add_argument("--seconds", type=float, default=60, help="for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--crashes", type=Path, default=Path("crashes"))
    parser.add_argument("--plain", action="store_true", help="mutate at random, without atheris")
    parser.add_argument("--out", type=Path, help="results JSON, with --plain")
    args = parser.parse_args()

    if not args.reader:
        with tempfile.TemporaryDirectory() as folder:
            names = list(seeds(Path(folder)))
        for name in names:
            words = ["--reader", name, "--seconds", args.seconds, "--seed", args.seed]
            words += ["--crashes", args.crashes, *(["--plain"] if args.plain else [])]
            words += ["--out", args.out] if args.out else []
            subprocess.run([sys.executable, __file__, *map(str, words)], check=True)
        return

    if args.plain or find_spec("atheris") is None:
        tried = fuzz(args.reader, args.seconds, args.seed, args.crashes)
        how = "at random" if args.plain else "at random, because atheris is not installed"
        print(f"{args.reader}: {tried} files damaged {how}, each read or refused")
        if args.out:
            add_result(args.out, args.reader, dict(files=tried, seconds=args.seconds))
    else:
        fuzz_guided(args.reader, args.seconds, args.crashes)


if __name__ == "__main__":
    main()
