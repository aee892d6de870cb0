"""One run, all mistakes, in the order of the file; nothing that only follows from another mistake."""

from tests.unit.configs.good import Problems

from mailward.configs import shape
from mailward.configs.sections import Section

MANY = """\
cluster: Lab
deployment: hybird
autmation: act
nodes:
  mail-a: {site: north, addresses: [192.0.2.300], hostnme: x}
  mail-b: {addresses: 192.0.2.11, site: nroth}
  Mail C: {site: north, addresses: [192.0.2.10/24]}
sites: [north, south]
canary: {user: canary@example.com, password: hunter2}
services:
  imaps: {port: 99999, probe: {interval_s: 500, timeout_s: 5s}}
  imap: {probe: {interval_s: 1, timeout_s: 2}}
endpoints:
  mail.example.com: {services: [imapz], nodes: [mail-d], ttl_s: 2m}
  imap.example.com: {services: []}
dns:
  primary: {rfc2136: {server: ns1, zone: example.com, tsig: {name: key, secret_file: nowhere}}}
policy: {restart_grace_s: 30, order_timeout_s: 60, hold_down_s: 2m}
observers: [{name: watch, node: mail-x}]
"""

SAID = """\
line 1: cluster: 'Lab' is not a name here (a-z, 0-9 and -, at most 63 characters): write lab
line 2: deployment: 'hybird' is not known here: write hybrid
line 3: autmation: unknown key: did you mean automation?
line 5: nodes.mail-a.addresses[0]: '192.0.2.300' is not an IP address: write one such as 192.0.2.10 or \
2001:db8::10
line 5: nodes.mail-a.hostnme: unknown key: did you mean hostname?
line 6: nodes.mail-b.addresses: a list is wanted here: write [192.0.2.11]
line 6: nodes.mail-b.site: 'nroth' is not a site: did you mean north?
line 7: nodes.Mail C: 'Mail C' is not a name here (a-z, 0-9 and -, at most 63 characters): write mail-c
line 7: nodes.Mail C.addresses[0]: '192.0.2.10/24' is not an IP address: write 192.0.2.10
line 9: canary.password: secrets do not stand in this file: put it into a file and name that in \
password_file
line 11: services.imaps.port: '99999' is not a TCP port: write a number from 1 to 65535
line 11: services.imaps.probe.interval_s: 500 is not between 0.2 and 60 seconds (slower finds a failure \
too late, faster is a load); 500 milliseconds would be 0.5
line 11: services.imaps.probe.timeout_s: '5s': write seconds as a number: 5
line 12: services.imap.probe.timeout_s: timeout_s (2 s) is longer than interval_s (1 s): probes of a hung \
server would pile up
line 14: endpoints.mail.example.com.ttl_s: '2m': write seconds as a number: 120
line 14: endpoints.mail.example.com.services[0]: 'imapz' is not a service: did you mean imap?
line 14: endpoints.mail.example.com.nodes[0]: 'mail-d' is not a node: did you mean mail-b?
line 15: endpoints.imap.example.com.services: no service is listed: write what clients use under this name
line 17: dns.primary.rfc2136.server: 'ns1' is not an IP address: write one such as 192.0.2.10 or \
2001:db8::10
line 17: dns.primary.rfc2136.tsig.secret_file: {etc}/nowhere does not exist
line 18: policy.hold_down_s: '2m': write seconds as a number: 120
line 18: policy.restart_grace_s: 30 s is longer than known_restart_grace_s (15 s): a restart the node \
reports would get less time than an unknown one
line 18: policy.order_timeout_s: 60 s is not shorter than step_patience_s (60 s): a step's only try could \
not end in time
line 19: observers[0].node: 'mail-x' is not a node: did you mean mail-b?
"""


def test_a_file_full_of_mistakes_is_told_whole_and_in_order(problems: Problems, etc) -> None:  # type: ignore[no-untyped-def]
    assert "\n".join(problems(text=MANY)) + "\n" == SAID.replace("{etc}", str(etc))


def test_a_broken_time_is_not_compared_with_others(problems: Problems) -> None:
    """`hold_down_s` is unreadable: that its default would be above the maximum is only its shadow."""
    assert problems(("canary: {", "policy: {hold_down_s: 1 min, hold_down_max_s: 5}\ncanary: {")) == (
        "line 18: policy.hold_down_s: '1 min': write seconds as a number: 60",
    )


def test_a_broken_node_is_still_a_node_for_those_who_name_it(problems: Problems) -> None:
    assert problems(
        (
            "  mail-b:\n    site: south\n    addresses:",
            "  mail-b: south\n  mail-c:\n    site: south\n    addresses:",
        )
    ) == ("line 9: nodes.mail-b: a section is wanted here, keys with values: a mail server",)


def test_hundreds_of_mistakes_end_in_a_count(problems: Problems) -> None:
    said = problems(("cluster: lab", "cluster: lab\n" + "\n".join(f"wrong-{n}: 1" for n in range(150))))
    assert len(said) == 101
    assert said[-1] == "and 50 more problems like these"


def _sections(kind: type[Section] = Section) -> list[type[Section]]:
    return [each for sub in kind.__subclasses__() for each in (sub, *_sections(sub))]


def test_every_required_key_has_a_stand_in_so_that_the_rest_can_be_checked() -> None:
    required = {
        key for section in _sections() for key, field in section.model_fields.items() if field.is_required()
    }
    assert required == set(shape.STAND_INS)


def test_every_key_is_described() -> None:
    silent = [
        f"{section.__name__}.{key}"
        for section in _sections()
        for key, field in section.model_fields.items()
        if not field.description
    ]
    assert silent == []
