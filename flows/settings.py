"""Carillon's own settings, read once from the environment into one frozen value; here is every one with its default.

What a provider needs are the fields of its class in `agents/providers/`, and CARILLON_<CHANNEL>_PROVIDER chooses among
several of a channel (`agents/provider.py`); credentials and regions of AWS are boto3's to read.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import agents.providers
from agents import provider_settings
from schemas.discovery import modules
from schemas.errors import Misconfigured
from schemas.keys import HOME_BYTES
from schemas.sealing import KeyRing

PREFIX = "CARILLON_"
_READ = "read"
"""Under this a field keeps how it is read, unless it is plain text: (variable, text) -> value, or Misconfigured."""


def _whole(default: int, least: int, most: int) -> Any:
    """A setting that is a whole number within bounds."""

    def read(variable: str, text: str) -> int:
        try:
            found = int(text)
        except ValueError:
            found = least - 1
        if not least <= found <= most:
            raise Misconfigured(f"{variable} must be a whole number from {least} to {most}, not {text!r}")
        return found

    return field(default=default, metadata={_READ: read})


def _server(default: str) -> Any:
    """A setting that is the address of one of AWS's services, or empty for the service itself."""

    def read(variable: str, text: str) -> str:
        try:
            parts = urlsplit(text)
            fit = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.username
        except ValueError:
            fit = False
        if text and not fit:
            raise Misconfigured(
                f"{variable} must be an http or https address without a user name in it, such as {default}, or empty "
                "for AWS's own"
            )
        return text

    return field(default=default, metadata={_READ: read})


def _folder(default: str) -> Any:
    return field(default=Path(default), metadata={_READ: lambda variable, text: Path(text)})


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are and what this process is called. Secrets stay out of its text."""

    kafka: str = "127.0.0.1:9092"
    dynamodb: str = _server("http://127.0.0.1:8000")
    s3: str = _server("http://127.0.0.1:5000")
    region: str = "eu-central-1"
    bucket: str = "carillon-templates"
    logs_table: str = "NotificationLogs"
    preferences_table: str = "UserPreferences"
    # A table key says the partition in HOME_BYTES, of which one value means none; Kafka says replicas in 15 bits.
    partitions: int = _whole(8, 1, 256**HOME_BYTES - 1)
    replication: int = _whole(1, 1, 2**15 - 1)
    state: Path = _folder(".carillon/state")
    worker: str = field(default_factory=socket.gethostname)
    metrics_host: str = "127.0.0.1"
    metrics_port: int = _whole(0, 0, 2**16 - 1)
    window: int = _whole(64, 1, 10_000)
    keys: str = field(default="", repr=False)
    index_key: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read `CARILLON_*`. Raises Misconfigured with the variable's name, and what is allowed."""
        source = os.environ if environment is None else environment
        found: dict[str, Any] = {}
        for setting in fields(cls):
            variable = PREFIX + setting.name.upper()
            text = source.get(variable)
            if text is not None:
                read = setting.metadata.get(_READ)
                found[setting.name] = read(variable, text) if read is not None else text
        return cls(**found)

    def ring(self) -> KeyRing:
        """The key ring. Raises Misconfigured when there is none."""
        if not self.keys or not self.index_key:
            raise Misconfigured(
                "CARILLON_KEYS and CARILLON_INDEX_KEY are not set: `carillon keys` makes a pair; in the folder of a "
                "running `carillon up` they are there"
            )
        return KeyRing.from_text(self.keys, self.index_key)


def variables() -> set[str]:
    """Every variable the project reads, the providers' own included."""
    ours = {PREFIX + setting.name.upper() for setting in fields(Settings)}
    vendors = [module.PROVIDER for module in modules(agents.providers)]
    choices = {f"{PREFIX}{vendor.channel.upper()}_PROVIDER" for vendor in vendors}
    return ours.union(choices, *(provider_settings.variables(vendor, vendor.name).values() for vendor in vendors))
