"""Bring result files of earlier versions to today's names; figures are never touched.

    python experiments/migrate_results.py results

- `pre.centre` is now `pre.center`;
- a run without teachers no longer lists a teacher's settings (they belong to `distill`);
- a run says which versions of the code made it: the first of all, but for the accuracy search,
  whose averaged weights were ramped already (training 2). So does each network in `bench`;
- version 1 of `reference` is now `reference-v1`, also in names of rows and files.
"""

import json
import re
import sys
from pathlib import Path

RUN = {"config", "dataset", "skeleton", "classes", "fingerprint", "environment"}
RAMPED = ("search",)  # folders of results made by version 2 of the training
TEACHER = ("teacher", "alpha", "beta", "tau", "gamma", "missing")


def today(text: str) -> str:
    "A model's or row's name today: `reference`, with changes or a comment behind it."
    changed = text.startswith("reference ") and "=" in text
    if text == "reference" or changed or text.startswith("reference,"):
        return text.replace("reference", "reference-v1", 1)

    return text


def of_second_reference(value) -> bool:
    "Does a result speak of version 2 of `reference`?"
    if isinstance(value, list):
        return any(map(of_second_reference, value))
    if not isinstance(value, dict):
        return False

    model = value.get("model") or value.get("config", {}).get("model") or ""
    version = value.get("version") or value.get("versions", {}).get("network", 1)
    second = str(model).startswith("reference") and version > 1
    return second or any(map(of_second_reference, value.values()))


def migrate(value, training: int = 1):
    "A copy of a JSON value with today's names; `training` is the version of runs that name none."
    if isinstance(value, str):
        return today(value)
    if isinstance(value, list):
        return [migrate(v, training) for v in value]
    if not isinstance(value, dict):
        return value

    new = {}
    for key, v in value.items():
        new["center" if key == "centre" else today(key)] = migrate(v, training)

    is_config = "protocol" in new and "epochs" in new and "out" in new
    if is_config and not (new.get("teacher") or new.get("teachers")):
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
        value = json.loads(text)
        if of_second_reference(value):
            continue

        training = 2 if file.relative_to(folder).parts[0] in RAMPED else 1
        new = json.dumps(migrate(value, training), indent=1) + "\n"
        name = re.sub("_reference(?!-v1)(?=[_-])", "_reference-v1", file.name)
        if new == text and name == file.name:
            continue

        file.write_text(new, encoding="utf-8")
        file.rename(file.with_name(name))
        changed += 1

    return changed


if __name__ == "__main__":
    print(main(Path(sys.argv[1])), "files brought to today's names")
