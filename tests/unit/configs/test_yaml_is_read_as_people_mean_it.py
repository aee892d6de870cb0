"""YAML's traps, and what is not YAML at all."""

import os
from pathlib import Path

import pytest
from tests.unit.configs.good import GOOD, Loaded, Problems

from mailward.configs import yaml_text
from mailward.configs.loading import load
from mailward.configs.policy import policy_of
from mailward.model.errors import ConfigError


def test_a_site_called_no_is_a_site_and_not_false(loaded: Loaded) -> None:
    config = loaded(("[north, south]", "[no, south]"), ("site: north", "site: no"))
    assert config.nodes["mail-a"].site == "no"


@pytest.mark.parametrize("word", ["no", "off", "false", "No", "OFF", '"off"'])
def test_a_switch_understands_every_no(loaded: Loaded, word: str) -> None:
    config = loaded(("smtp: {}", f"smtp: {{sentinel: {word}}}"))
    assert config.services["smtp"].sentinel is False


@pytest.mark.parametrize("word", ["yes", "on", "true", "True"])
def test_a_switch_understands_every_yes(loaded: Loaded, word: str) -> None:
    assert loaded(("smtp: {}", f"smtp: {{sentinel: {word}}}")).services["smtp"].sentinel is True


def test_names_that_look_like_numbers_and_dates_stay_names(loaded: Loaded) -> None:
    config = loaded(("cluster: lab", "cluster: 2024-01-01"), ("[north, south]", "[010, 1e3]"),
                    ("site: north", "site: 010"), ("site: south", "site: 1e3"))  # fmt: skip
    assert config.cluster == "2024-01-01"
    assert config.sites == ("010", "1e3")


def test_an_address_and_a_port_need_no_quotes(loaded: Loaded) -> None:
    assert (
        str(loaded(("canary: {", "api:\n  listen: 127.0.0.1:8080\ncanary: {")).api.listen) == "127.0.0.1:8080"
    )


def test_a_number_in_quotes_is_a_number(loaded: Loaded) -> None:
    assert loaded(("interval_s: 2", 'interval_s: "2"')).services["imaps"].probe.interval_s == 2.0


def test_an_empty_section_says_nothing(loaded: Loaded) -> None:
    assert (
        loaded(("smtp: {}", "smtp:"), ("canary: {", "policy:\ncanary: {")).services["smtp"].sentinel is True
    )


def test_anchors_aliases_and_merges_work(loaded: Loaded) -> None:
    config = loaded(
        ("  smtp: {}", "  smtp: {probe: &slow {interval_s: 5, down_after: 4}}"),
        ("{probe: {interval_s: 2}}", "{probe: {<<: *slow, interval_s: 3}}"),
    )
    assert (config.services["imaps"].probe.interval_s, config.services["imaps"].probe.down_after) == (3, 4)


def test_a_mistake_in_a_merged_section_is_told_where_it_is_written(problems: Problems) -> None:
    said = problems(
        ("  smtp: {}", "  smtp: {probe: &slow {interval: 5}}"),
        ("{probe: {interval_s: 2}}", "{probe: {<<: *slow}}"),
    )
    assert said == (
        "line 16: services.smtp.probe.interval: unknown key: did you mean interval_s?",
        "line 16: services.imaps.probe.interval: unknown key: did you mean interval_s?",
    )


NOT_READABLE = {
    "an empty file": ("", "the file is empty: begin with `cluster: NAME`"),
    "only comments": ("# nothing\n", "the file is empty: begin with `cluster: NAME`"),
    "a list at the top": (
        "- a\n- b\n",
        "the top of the file must be keys with values: begin with `cluster: NAME`",
    ),
    "a word at the top": (
        "hello",
        "the top of the file must be keys with values: begin with `cluster: NAME`",
    ),
    "a tab": ("nodes:\n\tmail-a: {}\n", "line 2, column 1: a tab: indent with spaces"),
    "a bracket left open": (
        "sites: [north\nnodes: {}\n",
        "line 2, column 6: not YAML: expected ',' or ']', but got ':'",
    ),
    "a quote left open": (
        'cluster: "lab\n',
        "line 2, column 1: not YAML: found unexpected end of stream",
    ),
    "a colon in a value": (
        "cluster: lab: one\n",
        "line 1, column 13: a colon where none can be: quote the value, or mend the indentation above",
    ),
    "an alias of nothing": ("cluster: *name\n", "line 1, column 10: not YAML: found undefined alias 'name'"),
    "two documents": (
        "cluster: lab\n---\ncluster: lab\n",
        "line 2, column 1: a second document begins here (---): the file holds one",
    ),
    "an alias that contains itself": (
        "sites: &a [*a]\n",
        "line 1: an alias that contains itself",
    ),
    "a merge of itself": ("nodes: &a {<<: *a}\n", "line 1: an alias that contains itself"),
    "a control character": ("cluster: l\x00ab\n", "line 1: a character that no text file holds (#x0000)"),
    "lists in lists without end": ("a: " + "[" * 3000, "line 1, column 23: nested more than 20 levels deep"),
    "values without end": (
        "a: [" + "1," * 20_000 + "]",
        "line 1, column 19999: more than 5000 values, aliases followed: this cannot be a configuration",
    ),
    "a laugh": (
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
        ),
        "more than 5000 values, aliases followed: this cannot be a configuration",
    ),
}


@pytest.mark.parametrize(("text", "said"), NOT_READABLE.values(), ids=NOT_READABLE)
def test_what_cannot_be_read_is_told_in_one_sentence(problems: Problems, text: str, said: str) -> None:
    assert problems(text=text) == (said,)


def test_a_tag_is_not_obeyed(problems: Problems) -> None:
    said = problems(("cluster: lab", "cluster: !!python/object/apply:os.getcwd []"))
    assert said[0].startswith(
        "line 1: cluster: the tag 'tag:yaml.org,2002:python/object/apply:os.getcwd' is not used"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "cluster: lab",
            "cluster: !!binary lab",
            "cluster: the tag 'tag:yaml.org,2002:binary' is not used here",
        ),
        ("sites: [", "sites: !!set [", "sites: the tag 'tag:yaml.org,2002:set' is not used here"),
        ("nodes:", "nodes: !mine", "nodes: the tag '!mine' is not used here"),
    ],
)
def test_no_tag_is_used(problems: Problems, old: str, new: str, said: str) -> None:
    assert said in problems((old, new))[0]


def test_a_helper_that_says_nothing_is_the_default(loaded: Loaded) -> None:
    config = loaded(("    site: north", "    site: north\n    helper:\n    replication:"))
    assert policy_of(config).nodes[0].fenced


def test_a_key_that_is_a_list_is_no_key(problems: Problems) -> None:
    assert problems(("cluster: lab", "cluster: lab\n[a, b]: c")) == (
        "line 2: a key must be a word, not a list or a section",
    )


def test_a_merge_takes_a_section(problems: Problems) -> None:
    assert problems(("smtp: {}", "smtp: {<<: word}")) == (
        "line 16: services.smtp: `<<` takes a section: write `<<: *its-anchor`",
    )


def _said(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    return caught.value.problems


def test_a_file_that_is_not_utf8_is_told_with_its_line(etc: Path) -> None:
    (etc / "latin.yaml").write_bytes(b"cluster: lab\n# Stra\xdfe\n")
    assert _said(etc / "latin.yaml") == ("line 2: not UTF-8: save the file as UTF-8",)


def test_a_byte_order_mark_is_no_mistake(etc: Path) -> None:
    (etc / "bom.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load(etc / "bom.yaml", {}).cluster == "lab"


def test_a_file_of_more_than_a_mebibyte_is_not_parsed(etc: Path) -> None:
    (etc / "big.yaml").write_bytes(b"#" * (yaml_text.MAX_BYTES + 1))
    assert _said(etc / "big.yaml") == (f"{etc}/big.yaml: more than 1 MiB: this cannot be a configuration",)


def test_a_file_that_is_not_there_is_named(etc: Path) -> None:
    assert _said(etc / "none.yaml") == (f"{etc}/none.yaml: cannot be read: No such file or directory",)


def test_a_folder_is_no_file(etc: Path) -> None:
    assert _said(etc) == (f"{etc}: cannot be read: Is a directory",)


def test_a_named_pipe_does_not_keep_us_waiting(etc: Path) -> None:
    os.mkfifo(etc / "pipe.yaml")
    assert _said(etc / "pipe.yaml") == (f"{etc}/pipe.yaml: not a file",)
