"""What a node needs beside the program: the restore unit, one sudoers line, one SSH key line.

By default it is only shown: people want to read what is put into sudoers, and Puppet wants to write it.
"""

from __future__ import annotations

import os
import re

from mailward.fencing.node.commands import run
from mailward.fencing.node.refusal import CONFIG, Refused

PROGRAM = "/usr/local/sbin/mailward-node"
UNIT = "mailward-node-restore.service"
UNIT_PATH = f"/etc/systemd/system/{UNIT}"
SUDOERS_PATH = "/etc/sudoers.d/mailward-node"

# After nftables.service and its kin, since their start flushes every table; before the mail services, which
# do not require it: a node whose state cannot be read serves, and says so.
_UNIT_TEXT = f"""\
[Unit]
Description=Give the client ports the state that mailward ordered last
After=nftables.service netfilter-persistent.service firewalld.service ufw.service
Before=postfix.service postfix@-.service dovecot.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={PROGRAM} restore

[Install]
WantedBy=multi-user.target
"""
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


def files(user: str) -> list[tuple[str, str]]:
    """Path and content of each file."""
    if not _USER.fullmatch(user) or user == "root":
        raise Refused(CONFIG, f"--user {user!r}: an unprivileged user's name is wanted")
    return [
        (UNIT_PATH, _UNIT_TEXT),
        (SUDOERS_PATH, f"{user} ALL=(root) NOPASSWD: {PROGRAM} serve\n"),
    ]


def guidance() -> str:
    return (
        "# the controller's key in ~/.ssh/authorized_keys of that user\n"
        f'restrict,command="sudo -n {PROGRAM} serve" ssh-ed25519 AAAA... mailward'
    )


def write(user: str) -> list[str]:
    """Write the files and enable the unit; what was done, line by line."""
    done = []
    for path, text in files(user):
        mode = 0o440 if path == SUDOERS_PATH else 0o644
        try:
            _replace(path, text, mode)
        except OSError as error:
            raise Refused(CONFIG, f"{path}: {error.strerror}; are you root?") from error
        done.append(f"wrote {path}")
    for command in (["systemctl", "daemon-reload"], ["systemctl", "enable", UNIT]):
        ran = run(command, timeout_s=30.0)
        done.append(f"{' '.join(command)}: {'done' if ran.code == 0 else ran.complaint}")
    return done


def _replace(path: str, text: str, mode: int) -> None:
    new = f"{path}.new~"  # sudo skips names which end in ~, so a half-written file is never read
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(new, mode)
    os.replace(new, path)
