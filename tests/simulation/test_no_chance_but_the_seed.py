"""Nothing in the simulated world draws from anything but the run's own seed.

Clocks, threads and I/O are forbidden by the layers (`pyproject.toml`), and raise on the virtual loop."""

import ast
from pathlib import Path

import pytest

import mailward.simulator

FILES = sorted(Path(mailward.simulator.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_random_is_a_generator_with_a_seed(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.module != "random", f"line {node.lineno}: from random import"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random":
            assert node.attr == "Random", f"line {node.lineno}: random.{node.attr}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "random.Random":
            assert node.args, f"line {node.lineno}: a generator without a seed"
