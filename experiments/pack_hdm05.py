"""HDM05's eleven classes as the file that comes with the package.

python experiments/pack_hdm05.py FOLDER [OUT]: FOLDER holds the ASF and AMC files.
"""

import sys
from pathlib import Path

from last.hdm05 import PACK, read_hdm05, write_pack

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(str(PACK))
    paths = sorted(folder.rglob("HDM_*_120.amc"), key=lambda path: path.stem)
    write_pack(out, [read_hdm05(path) for path in paths])
    print(f"{out}: {len(paths)} clips, {out.stat().st_size / 1e6:.2f} MB")
