"""A power switch for a container, as a program that speaks the fence agents' protocol.

The real agents and devices are tried in `test_power_devices.py`; here something must really take a node of
the lab away, and read back that it did. Told on stdin: `action`, and `plug`, the container's name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tests.lab.harness.cluster import Cluster
from tests.lab.harness.layout import NODE_NAMES

_PROGRAM = '''#!{python}
import subprocess, sys

METADATA = """<?xml version="1.0" ?>
<resource-agent name="fence_container" shortdesc="Switches a container">
<parameters>
<parameter name="action" required="1"><content type="string" default="reboot"/></parameter>
<parameter name="plug" required="1"><content type="string"/></parameter>
</parameters>
<actions><action name="on"/><action name="off"/><action name="status"/><action name="metadata"/></actions>
</resource-agent>"""

def engine(*words):
    return subprocess.run(["docker", *words], capture_output=True, text=True)

if "metadata" in sys.argv:
    print(METADATA)
    sys.exit(0)
told = dict(line.strip().split("=", 1) for line in sys.stdin if "=" in line)
action, plug = told["action"], told["plug"]
if action == "off":
    engine("kill", plug)
elif action == "on":
    engine("start", plug)
found = engine("inspect", "--format", "{{{{.State.Running}}}}", plug)
if found.returncode:
    print(found.stderr, file=sys.stderr)
    sys.exit(1)
on = found.stdout.strip() == "true"
print("Status: " + ("ON" if on else "OFF"))
sys.exit((0 if on else 2) if action == "status" else 0)
'''


def install(folder: Path) -> Path:
    """Write the program into a folder; where it is."""
    program = folder / "fence_container"
    program.write_text(_PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    return program


def of_nodes(cluster: Cluster) -> dict[str, Any]:
    """The section `nodes` of a configuration: a power switch for each."""
    program = str(install(cluster.folder))
    return {
        name: {
            "agent": {
                "program": program, "options": {"plug": cluster.nodes[name].container.name}, "timeout_s": 20,
            }
        }
        for name in NODE_NAMES
    }  # fmt: skip
