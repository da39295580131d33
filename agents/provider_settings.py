"""A provider's dataclass fields are its environment, and its secrets are of a type that does not print."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar, get_type_hints
from urllib.parse import urlsplit

from schemas.errors import Misconfigured

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Secret:
    """A credential that no repr, log or error can show; only the one who calls `reveal` sees it."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


def variables(provider: type[Any], name: str) -> dict[str, str]:
    """The variable of each field: CARILLON_<NAME>_<FIELD>; a trailing underscore is no part of it."""
    return {each.name: f"CARILLON_{name}_{each.name.rstrip('_')}".upper() for each in fields(provider) if each.init}


def configured(provider: type[P], name: str, env: Mapping[str, str]) -> P | None:
    """Build a provider from its variables (`from_` is CARILLON_<NAME>_FROM); None when none of them is set.

    A field without a default is required. Raises Misconfigured, without the value, for what is missing or unfit.
    """
    variable = variables(provider, name)
    given = {key: env[var].strip() for key, var in variable.items() if env.get(var, "").strip()}
    if not given:
        return None
    required = [each.name for each in fields(provider) if each.init and each.default is MISSING]  # type: ignore[arg-type]
    missing = [variable[key] for key in required if key not in given]
    if missing:
        others = f"CARILLON_{name.upper()}_*"
        raise Misconfigured(f"{name} is configured by half: set {', '.join(missing)}, or unset all of {others}")
    types = get_type_hints(provider)
    return provider(**{key: _converted(variable[key], types[key], text) for key, text in given.items()})


def _converted(variable: str, wanted: Any, text: str) -> Any:
    if variable.endswith("_URL"):
        return _address(variable, text)
    if wanted is not int:
        return wanted(text)
    if not text.isdecimal() or int(text) == 0:
        raise Misconfigured(f"{variable} must be a whole number above 0")
    return int(text)


def _address(variable: str, text: str) -> str:
    try:
        parts = urlsplit(text)
        fit = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and text.isascii()
        fit = fit and not parts.username
    except ValueError:
        fit = False
    if not fit:
        raise Misconfigured(f"{variable} must be an http or https address without a user name in it")
    return text.rstrip("/")
