"""The zipapp: one file, standard library only, for Python 3.9 and later."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mailward.fencing.node
from mailward.fencing.node.build import build

SOURCES = sorted(Path(mailward.fencing.node.__file__).parent.glob("*.py"))


def test_it_runs_where_mailward_is_not_installed(tmp_path: Path) -> None:
    program = build(tmp_path / "out" / "mailward-node.pyz")
    assert program.read_bytes().startswith(b"#!/usr/bin/env python3\n")
    ran = subprocess.run([sys.executable, "-I", "-S", program, "--version"], capture_output=True, text=True)
    assert ran.stdout.startswith("mailward-node ")


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    assert build(tmp_path / "a").read_bytes() == build(tmp_path / "b").read_bytes()


def test_it_holds_the_helper_and_nothing_else(tmp_path: Path) -> None:
    names = zipfile.ZipFile(build(tmp_path / "a")).namelist()
    assert all(name == "__main__.py" or name.startswith("mailward/") for name in names)
    assert "mailward/fencing/node/serve.py" in names
    assert not any("ssh" in name or "model" in name for name in names)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_each_module_is_python_3_9(source: Path) -> None:
    tree = ast.parse(source.read_text(), feature_version=(3, 9))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            for name in names:
                ours = name.split(".")[:3] == ["mailward", "fencing", "node"]
                assert ours or name.split(".")[0] in sys.stdlib_module_names, name
