"""Bring result files of earlier versions to today's names of settings; figures are never touched.

    python experiments/migrate_results.py results

- `pre.centre` is now `pre.center`;
- a run without a teacher no longer lists a teacher's settings (they belong to `distill`).
"""

import json
import sys
from pathlib import Path

TEACHER = ("teacher", "alpha", "beta", "tau", "gamma", "missing")


def migrate(value):
    "A copy of a JSON value with today's names."
    if isinstance(value, list):
        return [migrate(v) for v in value]
    if not isinstance(value, dict):
        return value

    new = {("center" if key == "centre" else key): migrate(v) for key, v in value.items()}
    is_config = "protocol" in new and "epochs" in new and "out" in new
    if is_config and not new.get("teacher"):
        new = {key: v for key, v in new.items() if key not in TEACHER}

    return new


def main(folder: Path) -> int:
    changed = 0
    for file in sorted(folder.rglob("*.json")):
        text = file.read_text(encoding="utf-8")
        new = json.dumps(migrate(json.loads(text)), indent=1) + "\n"
        if new != text:
            file.write_text(new, encoding="utf-8")
            changed += 1

    return changed


if __name__ == "__main__":
    print(main(Path(sys.argv[1])), "files brought to today's names")
