"""A correct file, and the files it names."""

from collections.abc import Callable

from mailward.configs.schema import Config

GOOD = """\
cluster: lab
deployment: hybrid
sites: [north, south]
nodes:
  mail-a:
    site: north
    addresses: [192.0.2.10, "2001:db8::10"]
    hostname: mail-a.example.com
  mail-b:
    site: south
    addresses: [192.0.2.11, "2001:db8::11"]
    hostname: mail-b.example.com
helper: {ssh: {key_file: ssh_key, known_hosts_file: known_hosts}}
replication: {doveadm: {api_key_file: doveadm_key}}
services:
  smtp: {}
  imaps: {probe: {interval_s: 2}}
canary: {user: canary@example.com, password_file: canary}
endpoints:
  mail.example.com: {services: [imaps], nodes: [mail-a, mail-b], ttl_s: 60, dns: [primary]}
dns:
  primary:
    rfc2136:
      server: 192.0.2.53
      zone: example.com
      tsig: {name: mailward, secret_file: tsig}
"""

FILES = {
    "ssh_key": "-----BEGIN OPENSSH PRIVATE KEY-----\nplanted-ssh-key\n-----END OPENSSH PRIVATE KEY-----\n",
    "known_hosts": "mail-a ssh-ed25519 AAAA\n",
    "doveadm_key": "planted-doveadm-key\n",
    "canary": "planted-password\n",
    "tsig": "cGxhbnRlZC10c2lnLXNlY3JldA==\n",
    "api_token": "planted-token\n",
}

Edit = tuple[str, str]
Loaded = Callable[..., Config]
Problems = Callable[..., tuple[str, ...]]
