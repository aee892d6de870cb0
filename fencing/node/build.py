"""`python -m mailward.fencing.node.build OUT`: the helper as one file that any Python 3.9 or later runs.

Reproducible: the same sources give the same bytes. Sources only; what is compiled fits one Python.
"""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

_SHEBANG = b"#!/usr/bin/env python3\n"
_PACKAGE = "mailward/fencing/node"
_EMPTY = ("mailward/__init__.py", "mailward/fencing/__init__.py")
_LEFT_OUT = {"build.py", "__main__.py"}
_DATE = (1980, 1, 1, 0, 0, 0)


def build(out: Path) -> Path:
    """Write the zipapp, executable, in one step."""
    here = Path(__file__).parent
    sources = sorted(path for path in here.glob("*.py") if path.name not in _LEFT_OUT)
    members = dict.fromkeys(_EMPTY, b"") | {f"{_PACKAGE}/{path.name}": path.read_bytes() for path in sources}
    members["__main__.py"] = (here / "__main__.py").read_bytes()
    out.parent.mkdir(parents=True, exist_ok=True)
    new = out.with_name(out.name + ".new")
    with new.open("wb") as file:
        file.write(_SHEBANG)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(zipfile.ZipInfo(name, _DATE), data, zipfile.ZIP_DEFLATED)
    new.chmod(0o755)
    os.replace(new, out)
    return out


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m mailward.fencing.node.build OUT.pyz")
    print(build(Path(sys.argv[1])))
