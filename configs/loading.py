"""The door: a file becomes a `Config`, or one ConfigError with every mistake in it.

Read (`yaml_text`), shape (`schema`, `shape`), what fits together (`consistency`), secrets (`secrets`). All
four speak in one go: what follows from a part that is already reported is left out.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from mailward.configs import consistency, references, secrets, shape, yaml_text
from mailward.configs.advice import advice
from mailward.configs.problems import Findings, Problem, sentences
from mailward.configs.schema import Config
from mailward.model.errors import ConfigError


def load(path: Path, environ: Mapping[str, str] = os.environ, *, with_secrets: bool = True) -> Config:
    """Read the configuration at `path`. Raises ConfigError, whose `problems` are all that is wrong. Without
    secrets neither they nor the other files it names are looked at: nothing can be connected to then."""
    path = Path(path).absolute()
    text = yaml_text.read(path)
    base = str(path.parent)
    problems = list(text.problems)

    outcome = shape.validated(text.values, base)
    config: Config | None
    if isinstance(outcome, Config):
        config = outcome
    else:
        problems += shape.problems_of(outcome)
        config = shape.best_effort(text.values, outcome, base)
    findings = Findings()
    if config is not None:
        findings = secrets.gather(config, environ) if with_secrets else findings
        further = [*consistency.problems_of(config, references.Names.of(text.values)), *findings.problems]
        problems += _without_shadows(further, problems)

    if problems or config is None:
        raise ConfigError(sentences(problems, text.lines))
    config._warnings = (*findings.warnings, *advice(config))
    return config


def _without_shadows(further: list[Problem], reported: list[Problem]) -> list[Problem]:
    """Problems that do not depend on a place already reported as broken."""
    return [one for one in further if not any(one.depends_on(known.path) for known in reported)]
