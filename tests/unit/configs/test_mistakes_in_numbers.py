"""Times and other numbers: wrong units, out of bounds, no numbers.

Each row: what is changed in the good file, and exactly what is said.
"""

import pytest

ROWS = {
    "seconds with a unit": (
        ("interval_s: 2", "interval_s: 5s"),
        "line 17: services.imaps.probe.interval_s: '5s': write seconds as a number: 5",
    ),
    "minutes": (
        ("canary: {", "policy: {stable_s: 2m}\ncanary: {"),
        "line 18: policy.stable_s: '2m': write seconds as a number: 120",
    ),
    "whole seconds with a unit": (
        ("ttl_s: 60", "ttl_s: 1 min"),
        "line 20: endpoints.mail.example.com.ttl_s: '1 min': write seconds as a number: 60",
    ),
    "milliseconds written as seconds": (
        ("interval_s: 2", "interval_s: 500"),
        "line 17: services.imaps.probe.interval_s: 500 is not between 0.2 and 60 seconds (slower finds a"
        " failure"
        " too late, faster is a load); 500 milliseconds would be 0.5",
    ),
    "a time that is no number": (
        ("interval_s: 2", "interval_s: fast"),
        "line 17: services.imaps.probe.interval_s: 'fast' is not a number: write seconds as a number, such"
        " as 5",
    ),
    "a negative time": (
        ("interval_s: 2", "interval_s: -1"),
        "line 17: services.imaps.probe.interval_s: -1 is not between 0.2 and 60 seconds (slower finds a"
        " failure too late, faster is a load)",
    ),
    "not a number at all, as YAML spells it": (
        ("interval_s: 2", "interval_s: .inf"),
        "line 17: services.imaps.probe.interval_s: '.inf' is not a number: write seconds as a number, such"
        " as 5",
    ),
    "minutes and seconds with a colon": (
        ("interval_s: 2", "interval_s: 1:30"),
        "line 17: services.imaps.probe.interval_s: '1:30' is not a number: write seconds as a number, such"
        " as 5",
    ),
    "a TTL of zero": (
        ("ttl_s: 60", "ttl_s: 0"),
        "line 20: endpoints.mail.example.com.ttl_s: 0 is not between 1 and 3600 seconds (clients stay at a"
        " dead"
        " server for that long)",
    ),
    "a negative TTL": (
        ("ttl_s: 60", "ttl_s: -60"),
        "line 20: endpoints.mail.example.com.ttl_s: -60 is not between 1 and 3600 seconds (clients stay at a"
        " dead server for that long)",
    ),
    "a TTL of a day": (
        ("ttl_s: 60", "ttl_s: 86400"),
        "line 20: endpoints.mail.example.com.ttl_s: 86400 is not between 1 and 3600 seconds (clients stay"
        " at a"
        " dead server for that long)",
    ),
    "megabytes": (
        ("canary: {", "policy: {min_free_bytes: 64M}\ncanary: {"),
        "line 18: policy.min_free_bytes: '64M': write bytes as a whole number: 67108864",
    ),
    "a time just too short, which is no milliseconds": (
        ("interval_s: 2", "interval_s: 0.1"),
        "line 17: services.imaps.probe.interval_s: 0.1 is not between 0.2 and 60 seconds (slower finds a"
        " failure too late, faster is a load)",
    ),
    "a count with a unit": (
        ("canary: {", "policy: {failovers_per_hour: 5m}\ncanary: {"),
        "line 18: policy.failovers_per_hour: '5m' is not a whole number of failovers",
    ),
    "a port out of range": (
        ("  smtp: {}", "  smtp: {port: 70000}"),
        "line 16: services.smtp.port: '70000' is not a TCP port: write a number from 1 to 65535",
    ),
    "an octal port": (
        ("  smtp: {}", "  smtp: {port: 025}"),
        "line 16: services.smtp.port: '025' is not a TCP port: write a number from 1 to 65535",
    ),
    "neither yes nor no": (
        ("  smtp: {}", "  smtp: {sentinel: maybe}"),
        "line 16: services.smtp.sentinel: 'maybe' is neither true nor false",
    ),
    "no failovers at all": (
        ("canary: {", "policy: {failovers_per_hour: 0}\ncanary: {"),
        "line 18: policy.failovers_per_hour: 0 is not between 1 and 60 failovers (0 is `automation:"
        " observe`)",
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_the_mistake_is_told_in_these_words(row, problems) -> None:  # type: ignore[no-untyped-def]
    edits = [part for part in row if isinstance(part, tuple)]
    said = tuple(part for part in row if isinstance(part, str))
    assert problems(*edits) == said
