"""`python -m mailward.fencing.node.build OUT`: the helper as one file that any Python 3.9 or later runs.

Sources, and beside each what this Python compiles it to: the same minor version (as a rule Debian's)
then starts in half the time, measured 35 ms saved before a port closes; every other one passes over
it and reads the source. The same sources and Python give the same bytes.
"""

from __future__ import annotations

import os
import py_compile
import sys
import tempfile
import zipfile
from pathlib import Path

_SHEBANG = b"#!/usr/bin/env python3\n"
_PACKAGE = "mailward/fencing/node"
_PARENTS = ("mailward/__init__.py", "mailward/fencing/__init__.py")
_LEFT_OUT = {"build.py", "__main__.py"}
_DATE = (1980, 1, 1, 0, 0, 0)


def build(out: Path) -> Path:
    """Write the zipapp, executable, in one step."""
    out.parent.mkdir(parents=True, exist_ok=True)
    new = out.with_name(out.name + ".new")
    with new.open("wb") as file:
        file.write(_SHEBANG)
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in _members().items():
                archive.writestr(zipfile.ZipInfo(name, _DATE), data, zipfile.ZIP_DEFLATED)
    new.chmod(0o755)
    os.replace(new, out)
    return out


def _members() -> dict[str, bytes]:
    here = Path(__file__).parent
    members = dict.fromkeys(_PARENTS, b"")
    for source in sorted(here.glob("*.py")):
        if source.name not in _LEFT_OUT:
            name = f"{_PACKAGE}/{source.name}"
            members[name] = source.read_bytes()
            members[f"{name}c"] = _compiled(source, name)
    members["__main__.py"] = (here / "__main__.py").read_bytes()
    return members


def _compiled(source: Path, name: str) -> bytes:
    """Bytecode that is taken as it is: its source stands beside it in the same archive."""
    with tempfile.TemporaryDirectory() as directory:
        target = os.path.join(directory, "code.pyc")
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(str(source), target, dfile=name, doraise=True, invalidation_mode=mode)
        return Path(target).read_bytes()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m mailward.fencing.node.build OUT.pyz")
    print(build(Path(sys.argv[1])))
