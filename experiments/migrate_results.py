"""Bring result files of earlier versions to today's names of settings; figures are never touched.

    python experiments/migrate_results.py results

- `pre.centre` is now `pre.center`;
- a run without a teacher no longer lists a teacher's settings (they belong to `distill`);
- a run says which versions of the code made it: the first of all, but for the accuracy search,
  whose averaged weights were ramped already (training 2). So does each network in `bench`.
"""

import json
import sys
from pathlib import Path

RUN = {"config", "dataset", "skeleton", "classes", "fingerprint", "environment"}
RAMPED = ("search",)  # folders of results made by version 2 of the training
TEACHER = ("teacher", "alpha", "beta", "tau", "gamma", "missing")


def migrate(value, training: int = 1):
    "A copy of a JSON value with today's names; `training` is the version of runs that name none."
    if isinstance(value, list):
        return [migrate(v, training) for v in value]
    if not isinstance(value, dict):
        return value

    new = {}
    for key, v in value.items():
        new["center" if key == "centre" else key] = migrate(v, training)

    is_config = "protocol" in new and "epochs" in new and "out" in new
    if is_config and not new.get("teacher"):
        new = {key: v for key, v in new.items() if key not in TEACHER}

    if set(new) >= RUN:
        new.setdefault("versions", dict(network=1, pipeline=1, training=training))
    if {"model", "macs", "latencies"} <= set(new):
        new.setdefault("version", 1)

    return new


def main(folder: Path) -> int:
    changed = 0
    for file in sorted(folder.rglob("*.json")):
        text = file.read_text(encoding="utf-8")
        training = 2 if file.relative_to(folder).parts[0] in RAMPED else 1
        new = json.dumps(migrate(json.loads(text), training), indent=1) + "\n"
        if new != text:
            file.write_text(new, encoding="utf-8")
            changed += 1

    return changed


if __name__ == "__main__":
    print(main(Path(sys.argv[1])), "files brought to today's names")
