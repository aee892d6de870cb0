"""Agents as small scripts: a shell's `case` over the action, and what they were told in a file."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from mailward.fencing.agent.device import Device
from mailward.fencing.agent.program import Agent

SECRET = "pl4nted's secret"
ACTIONS = ("on", "off", "reboot", "status", "metadata")
PARAMETERS = """
<parameter name="action" required="1"><content type="string" default="reboot"/></parameter>
<parameter name="ip" required="1" obsoletes="ipaddr"><content type="string"/></parameter>
<parameter name="ipaddr" required="1" deprecated="1"><content type="string"/></parameter>
<parameter name="password" required="0" obsoletes="passwd"><content type="string"/></parameter>
<parameter name="passwd" required="0" deprecated="1"><content type="string"/></parameter>
<parameter name="cipher" required="0"><content type="integer"/></parameter>
<parameter name="delay" required="0"><content type="second" default="0"/></parameter>
<parameter name="auth" required="0"><content type="select"><option value="md5"/><option value="none"/></content></parameter>
<parameter name="ssl_insecure" required="0"><content type="boolean"/></parameter>
<parameter name="lanplus" required="0"><content type="boolean" default="1"/></parameter>
<parameter name="missing_as_off" required="0"><content type="boolean"/></parameter>
<parameter name="help" required="0"><content type="boolean"/></parameter>
"""  # noqa: E501
# A machine that is obeyed at once; `power` holds its state.
OBEDIENT = """
on|off) echo $action >power; echo "Success: Powered";;
status) [ "$(cat power)" = on ] && { echo "Status: ON"; exit 0; }; echo "Status: OFF"; exit 2;;
"""


def xml(actions: tuple[str, ...] = ACTIONS, parameters: str = PARAMETERS) -> str:
    offered = "".join(f'<action name="{action}"/>' for action in actions)
    return (
        '<?xml version="1.0" ?>\n<resource-agent name="fence_test">'
        f"<parameters>{parameters}</parameters><actions>{offered}</actions></resource-agent>\n"
    )


@dataclass(frozen=True)
class Scripted:
    """An agent in `folder`; `calls` are the texts it was told, one for each call but that for metadata."""

    folder: Path

    @property
    def program(self) -> str:
        return str(self.folder / "fence_test")

    @property
    def calls(self) -> list[str]:
        return [file.read_text() for file in sorted(self.folder.glob("call.*"))]

    def device(
        self, timeout_s: float = 20.0, options: dict[str, str] | None = None, secret: str = SECRET
    ) -> Device:
        agent = Agent(self.program, {"ip": "192.0.2.9"} if options is None else options, {"password": secret})
        return Device("mail-a", agent, timeout_s=timeout_s, poll_s=0.05)

    def power(self, state: str) -> None:
        (self.folder / "power").write_text(state)

    def holds(self, name: str) -> str:
        return (self.folder / name).read_text().strip()

    def waited_for(self, name: str) -> str:
        """What a file holds as soon as it holds something."""
        for _ in range(400):
            if (self.folder / name).exists() and self.holds(name):
                break
            time.sleep(0.05)
        return self.holds(name)


def scripted(folder: Path, case: str = OBEDIENT, metadata: str | None = None) -> Scripted:
    """`case` are the arms of a case over $action; it runs in `folder`. `metadata` is XML, or `!` and a
    command."""
    (folder / "metadata.xml").write_text(xml() if metadata is None else metadata)
    (folder / "power").write_text("on")
    program = folder / "fence_test"
    asked = metadata[1:] if metadata is not None and metadata.startswith("!") else "cat metadata.xml"
    program.write_text(
        f"""#!/bin/bash
cd {folder}
[ $# = 0 ] || {{ {asked}; exit; }}
call=call.$(printf %03d $(ls call.* 2>/dev/null | wc -l))
cat >$call
action=$(sed -n s/^action=//p $call)
case $action in
{case}
esac
"""
    )
    program.chmod(0o755)
    return Scripted(folder)


def lives(pid: str) -> bool:
    """Whether a process is there and no zombie; a moment is given to it."""
    for _ in range(40):
        try:
            if Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
            os.kill(int(pid), 0)
        except (OSError, ValueError):
            return False
        time.sleep(0.05)
    return True
