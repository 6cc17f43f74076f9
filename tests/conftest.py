import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "nbs").glob("*.ipynb"))
READERS = [p for p in NOTEBOOKS if "../results/" in p.read_text(encoding="utf-8")]

# The same examples in every run: a change fails by its own fault. New ones, now and then, with
# `pytest --hypothesis-profile search`.
settings.register_profile("same", derandomize=True)
settings.register_profile("search", max_examples=1000)
settings.load_profile("same")


def pytest_configure(config):
    data = os.environ.get("LAST_DATA")
    if data is not None and not (Path(data).is_dir() and any(Path(data).rglob("*.json"))):
        pytest.exit(f"LAST_DATA is set to {data!r}, but there is no data in it", returncode=4)


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory):
    "A small synthetic dataset in NTU's format."
    from last.synthetic import SynthConfig, synthesize

    out = tmp_path_factory.mktemp("synthetic")
    synthesize(SynthConfig(str(out), subjects=4, replications=1, cameras=2, actions=6))
    return out


@pytest.fixture(scope="session")
def store(synthetic, tmp_path_factory):
    "The same, prepared."
    from last.preparation import PrepareConfig, prepare

    out = tmp_path_factory.mktemp("stores") / "synthetic"
    prepare(PrepareConfig(str(synthetic), str(out), "synthetic", workers=1))
    return out
