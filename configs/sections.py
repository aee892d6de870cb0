"""What all sections of the file share: frozen, no unknown keys, an empty one is `{}`; and how a section
holds a secret that stands elsewhere, and takes what it does not say from a section of defaults.
"""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, model_validator

from mailward.configs.values import EnvName, File


class Section(BaseModel):
    """A mapping in the file. Each field's description begins with what is to be written there."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_nothing_said(cls, value: Any) -> Any:
        return {} if value is None else value

    def over(self, defaults: Self) -> Self:
        """This section with every key it does not say taken from `defaults`."""
        unsaid = defaults.model_fields_set - self.model_fields_set
        return self.model_copy(update={name: getattr(defaults, name) for name in sorted(unsaid)})


class SecretSection(Section):
    """A section with one secret, read by `secrets` when the file is loaded.

    The file names where the secret stands, in `X_file` or `X_env`; X is `secret_name`. The value is never
    a field: it is not in the repr, in a dump or in the digest."""

    secret_name: ClassVar[str]
    _secret: SecretStr | None = PrivateAttr(None)

    @property
    def secret_keys(self) -> tuple[str, str]:
        return f"{self.secret_name}_file", f"{self.secret_name}_env"

    @property
    def names_secret(self) -> bool:
        return any(getattr(self, key) is not None for key in self.secret_keys)

    def hold(self, secret: SecretStr) -> None:
        self._secret = secret

    def _held(self) -> SecretStr:
        if self._secret is None:
            raise LookupError(f"the {self.secret_name} was not read: configurations come from loading.load")
        return self._secret

    def over(self, defaults: Self) -> Self:
        merged = super().over(defaults)
        if self.names_secret:
            return merged.model_copy(update={key: getattr(self, key) for key in self.secret_keys})
        merged._secret = defaults._secret
        return merged


def secret_file(what: str) -> Any:
    return Field(default=None, description=f"A file that holds {what} and nothing else.")


def secret_env(what: str) -> Any:
    return Field(default=None, description=f"The environment variable that holds {what}, instead of a file.")


SecretFile = File | None
SecretEnv = EnvName | None
