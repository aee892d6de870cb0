"""What a scenario file may say, and every mistake in one at once, with its line and what would be right."""

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulation.clusters import two_sites_and_a_witness

from mailward.model.policy import Policy
from mailward.simulator.claims import CLAIMS, Claim
from mailward.simulator.events import VERBS, Verb
from mailward.simulator.phrases import listed, seconds, shift
from mailward.simulator.rehearsal import rehearse
from mailward.simulator.scenario import LARGEST, MOST_PROBLEMS, parse

ENDPOINT = "mail.example.test"
FILLED = {
    "SERVICES": "imaps", "NODES": "mail-a and mail-b", "NODE": "mail-a", "PLACES": "site-a",
    "OTHERS": "site-b", "HOSTS": "mail-a", "DAEMONS": "witness", "TARGET": "primary",
    "ENDPOINTS": ENDPOINT, "TIME": "1 min 30 s", "SHIFT": "-5 s", "PERCENT": "40 %",
    "COUNT": "2", "WORDS": '"paused by"',
}  # fmt: skip


def told(*lines: str, head: str = "# A title") -> str:
    return "\n".join([head, "", *lines, "at the end everything is well", "at 5 min the story ends", ""])


def problems(text: str, policy: Policy | None = None) -> tuple[str, ...]:
    return parse(text).problems(policy or two_sites_and_a_witness())


def filled(phrase: str) -> str:
    return " ".join(FILLED.get(word, word.split("|")[0]) for word in phrase.split(" "))


def test_every_word_that_stands_for_something_is_tried_here() -> None:
    names = {n for v in VERBS for p in (v.begins, v.ends) if p for n in p.names}
    names |= {n for claim in CLAIMS for n in claim.phrase.names}
    assert names <= FILLED.keys()


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.begins.text)
def test_every_verb_can_be_said_begun_and_ended(verb: Verb) -> None:
    begins, ends = verb.begins, verb.ends
    lines = [f"at 1 s {filled(begins.text)}", *([f"at 2 s {filled(ends.text)}"] if ends else [])]
    story = parse(told(*lines))
    assert story.problems(two_sites_and_a_witness()) == ()
    assert story.events[0].verb.begins == begins
    assert [event.ending for event in story.events] == [False, *([True] if ends else [])]
    outcome = rehearse(two_sites_and_a_witness(), replace(story, ends_s=3.0), 1)
    assert [line.text for line in outcome.story if line.kind == "event"] == [e.text for e in story.events]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.phrase.text)
def test_every_claim_can_be_said_of_a_moment_and_of_a_time(claim: Claim) -> None:
    sentence = filled(claim.phrase.text)
    forms = (
        "by 10 s",
        "until 10 s",
        "from 5 s until 10 s",
        "from 5 s until the end",
        "throughout",
        "at the end",
    )
    story = parse(told(*(f"{form} {sentence}" for form in forms)))
    assert story.problems(two_sites_and_a_witness()) == ()
    assert {each.claim.phrase.text for each in story.expected[:-1]} == {claim.phrase.text}
    outcome = rehearse(two_sites_and_a_witness(), replace(story, ends_s=11.0), 1)
    assert len(outcome.expected) == len(story.expected)


def test_head_and_times_are_understood() -> None:
    text = "# Title\n# prose\n#\n# more\n\ncluster: two-sites\nwith: hold_down_s 10, last_resort false\n\n"
    story = parse(text + "\n".join(told("at 1 min 30.5 s mail-a  freezes").splitlines()[2:]))
    assert (story.title, story.prose, story.cluster) == ("Title", ["prose", "", "more"], "two-sites")
    assert story.rules == {"hold_down_s": 10.0, "last_resort": False}
    assert [event.at_s for event in story.events] == [90.5]
    assert story.ends_s == 300.0
    assert [seconds("2 h"), seconds("250 ms"), seconds("25 h"), shift("- 5 s"), shift("+1 min")] == [
        7200.0, 0.25, None, -5.0, 60.0,
    ]  # fmt: skip
    assert listed("a, b and c") == ["a", "b", "c"]


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = told(
        "at 30 s mail-x loses power",
        "at 30 s mail-a lose powers",
        "at noon mail-a freezes",
        "at 40 s imaps of mail-a works again",
        "by 10 s mail-a is out of other.example",
        "by 10 s mail-a is happy",
        "from 9 s until 3 s nothing is withdrawn",
        "until 6 min nothing is withdrawn",
        "at 6 min mail-a freezes",
    )
    assert problems("with: hold_downs 3, stable_s nan, failovers_per_hour 1.5\n" + text) == (
        "line 1: there is no rule 'hold_downs'; did you mean hold_down_s?",
        "line 1: stable_s is a number of seconds, not 'nan'",
        "line 1: failovers_per_hour is a whole number, not '1.5'",
        "line 1: the file begins with a title: `# What happened, and when`",
        "line 4: nothing here is named 'mail-x'; there are: site-a, site-b, site-w, mail-a, mail-b, witness,"
        " primary-ns1, primary-ns2, the store, the clients, the leader",
        "line 5: 'mail-a lose powers' is nothing that can happen; is one of these meant: PLACES loses power;"
        " PLACES has power again; PLACES loses PERCENT of the packets?",
        "line 6: 'at noon mail-a freezes' is not understood: a line begins with a time, as `at 30 s`,"
        " `by 1 min 15 s`, `until 60 s`, `from 10 s until 2 min`, `throughout` or `at the end`",
        "line 7: nothing has begun that this ends; before it stands, with the same names: SERVICES of NODES"
        " crashes or SERVICES of NODES hangs",
        "line 8: nothing here is named 'other.example'; there are: mail.example.test",
        "line 9: 'mail-a is happy' is nothing that can be claimed; is one of these meant: NODES is in"
        " ENDPOINTS; NODES is in ENDPOINTS on TARGET?",
        "line 10: from 9 s until 3 s is no time",
        "line 11: the story has ended by then, at 300 s",
        "line 12: the story has ended by then, at 300 s",
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1: the file begins with a title"),
        ("# t\nat 9 s mail-a freezes\nthroughout nothing is changed", "nothing says when the story ends"),
        ("# t\nat 9 s the story ends", "nothing is expected: a scenario that cannot fail proves nothing"),
        (told("at 10 s the story ends"), "line 5: the story has already ended"),
        (told("at 99999999 s mail-a freezes"), "line 3: 99999999 s is longer than a day"),
        (told("at " + "9" * 250 + " h mail-a freezes"), "line 3: " + "9" * 250 + " h is longer than a day"),
        (told("at 30 h mail-a freezes"), "line 3: 30 h is longer than a day"),
        (told("at 5 s the clock of mail-a jumps by +9999 h"), "line 3: +9999 h is longer than a day"),
        (told("at inf s mail-a freezes"), "line 3: 'at inf s mail-a freezes' is not understood"),
        (told("at -5 s mail-a freezes"), "line 3: 'at -5 s mail-a freezes' is not understood"),
        (told("at 5 s mail-a loses 300 % of the packets"), "line 3: 300 % is more than all: at most 100 %"),
        (told("at 5 s mail-a \x1b[31mfreezes"), "line 3: the line holds a character that cannot be printed"),
        (told("at 5 s " + "x" * 400), "line 3: the line has 407 characters, at most 300"),
        (told("at 5 s mail-a freezes", "with: stable_s 1"), "line 4: `with:` stands before the first line"),
        (told("cluster: a b"), "line 3: `cluster:` is followed by one name"),
        ("# t\nwith: hold_down_s " + "9" * 200, "line 2: hold_down_s is a number of seconds, not"),
    ],
)  # fmt: skip
def test_each_mistake_says_where_it_is_and_what_would_be_right(text: str, sentence: str) -> None:
    assert any(problem.startswith(sentence) for problem in problems(text)), problems(text)


def test_an_end_too_far_off_is_the_one_mistake_that_is_told() -> None:
    text = "# t\nat 9 s mail-a freezes\nthroughout nothing is changed\nat 99999999 h the story ends"
    assert problems(text) == ("line 4: 99999999 h is longer than a day",)


@pytest.mark.parametrize(
    "text",
    ["x" * 10**6, "\n" * 10**6, "# t\n" + "at 3 s every of the node is in out cut off by x\n" * 990,
     "# t\n" + ("at 3 s " + "a, " * 60 + "b and c crashes\n") * 300],
    ids=["one line", "empty lines", "mistakes", "long lists"],
)  # fmt: skip
def test_a_large_file_is_bounded_in_time_and_in_what_is_said_of_it(text: str) -> None:
    began_s = time.process_time()
    found = problems(text)
    assert time.process_time() - began_s < 3.0
    assert 1 <= len(found) <= MOST_PROBLEMS + 1
    assert all(len(problem) < 2000 for problem in found)


WORDS = [w for v in VERBS for p in (v.begins, v.ends) if p for w in filled(p.text).split()] + [
    "at",
    "by",
    "30",
    "s",
]


@given(st.one_of(st.text(max_size=300), st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join)))
@settings(max_examples=200, deadline=None)
def test_whatever_a_file_holds_it_is_read_and_every_sentence_about_it_can_be_printed(text: str) -> None:
    for problem in problems(told(f"at 30 s {text}", text)):
        assert problem.isprintable()
    assert len(text) <= LARGEST
