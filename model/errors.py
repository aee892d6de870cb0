"""Errors that people may meet. Expected failures are values; these are the others.

MailwardError
├── ConfigError         the configuration cannot be used as it is
└── StoreError          the coordination store cannot be used
    ├── ForeignStore    ... it, or a target, belongs to another cluster (I14)
    ├── CorruptStore    ... what it holds cannot be understood
    ├── NoStore         ... there is none yet
    ├── NoRight         ... it does not let us: nothing was done
    ├── StoreBusy       ... another controller holds it
    └── Unanswered      ... nothing came back: what was asked for may have been done, or not
"""


class MailwardError(Exception):
    """Base of all; its text is a sentence for the administrator."""


class ConfigError(MailwardError):
    """The configuration cannot be used; `problems` lists every mistake, each with its path."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StoreError(MailwardError):
    """The coordination store cannot be read or written."""


class ForeignStore(StoreError):
    """A store-id that is not ours: acting would be acting for another cluster."""


class CorruptStore(StoreError):
    """A file of the store is missing, cut off or altered: only a person can mend that."""


class NoStore(StoreError):
    """Nobody has made one there yet."""


class NoRight(StoreError):
    """We are not named there, or not for that: nothing was done."""


class StoreBusy(StoreError):
    """Another controller holds the store's lock."""


class Unanswered(StoreError):
    """Nothing came back: what was asked for may have been done, or not."""
