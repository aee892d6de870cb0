"""Whatever stands in a file: a Config or a ConfigError, within bounds, and never a value of a secret."""

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.unit.configs.good import GOOD

from mailward.configs.check import describe
from mailward.configs.loading import load
from mailward.configs.policy import policy_of
from mailward.configs.schema import Config
from mailward.configs.sections import Section
from mailward.model.errors import ConfigError


def _sections(kind: type[Section] = Section) -> list[type[Section]]:
    return [each for sub in kind.__subclasses__() for each in (sub, *_sections(sub))]


NAMES = ["mail-a", "mail.example.com", "primary", "<<", "1", "no", ""]
KEYS = st.sampled_from(sorted({key for section in _sections() for key in section.model_fields} | set(NAMES)))
WORDS = st.sampled_from(
    ["hybrid", "standard", "none", "all", "canary", "192.0.2.1", "::1", "mail-a", "smtp", "imaps", "5", "5s",
     "-1", "~", "no", ".", "/", "/dev/null", "tsig", "0.0.0.0:53", "[::1]:53", "a@b.c", "example.com",
     "http://h:1", "1e400", "99999999999999999999"]
)  # fmt: skip
SCALARS = WORDS | st.text(max_size=12) | st.none() | st.integers() | st.floats() | st.booleans()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
PLACES = st.lists(st.integers(0, 10), max_size=5)

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _try(path: Path) -> None:
    problems: tuple[str, ...] = ()
    try:
        config = load(path, {})
    except ConfigError as error:
        problems = error.problems
    else:
        assert isinstance(config, Config)
        policy_of(config)
        problems = (*describe(config), *config.warnings)
    assert problems
    assert all(len(problem) < 1500 and problem.isprintable() for problem in problems)
    assert "planted" not in "".join(problems)


@quick
@given(top=st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_structure_under_known_keys(etc: Path, top: object) -> None:
    (etc / "random.yaml").write_text(yaml.safe_dump(top, allow_unicode=True), encoding="utf-8")
    _try(etc / "random.yaml")


@quick
@example(places=[4, 0], value="\x1f")
@given(places=PLACES, value=VALUES)
def test_the_good_file_with_one_part_replaced_by_anything(
    etc: Path, places: list[int], value: object
) -> None:
    whole = yaml.safe_load(GOOD)
    here = whole
    for place in places:
        keys = sorted(here) if isinstance(here, dict) else range(len(here))
        key = list(keys)[place % len(keys)]
        if not isinstance(here[key], dict | list) or not here[key]:
            break
        here = here[key]
    key = next(iter(here)) if isinstance(here, dict) else 0
    here[key] = value
    (etc / "random.yaml").write_text(yaml.safe_dump(whole, allow_unicode=True), encoding="utf-8")
    _try(etc / "random.yaml")


@quick
@given(
    content=st.binary(max_size=200)
    | st.text(alphabet="{}[]:,&*!|>-?'\"#%@` \n\tab1<", max_size=60).map(str.encode)
)
def test_any_bytes(etc: Path, content: bytes) -> None:
    (etc / "random.yaml").write_bytes(content)
    _try(etc / "random.yaml")


@quick
@given(
    at=st.integers(0, len(GOOD)),
    noise=st.text(alphabet="{}[]:,&*!|>-?'\"#% \n\tab1<~", min_size=1, max_size=3),
)
def test_the_good_file_with_a_few_characters_put_in(etc: Path, at: int, noise: str) -> None:
    (etc / "random.yaml").write_text(GOOD[:at] + noise + GOOD[at:])
    _try(etc / "random.yaml")


@pytest.mark.parametrize("at", range(0, len(GOOD), 7))
def test_the_good_file_cut_short(etc: Path, at: int) -> None:
    (etc / "random.yaml").write_text(GOOD[:at])
    _try(etc / "random.yaml")
