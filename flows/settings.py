"""The environment, read once into one frozen value. Every variable is here with its default; nothing else reads it."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import agents.providers
from agents import provider_settings
from schemas.discovery import modules
from schemas.errors import Misconfigured
from schemas.sealing import KeyRing

PREFIX = "CARILLON_"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are and what this process is called. Secrets stay out of its text."""

    kafka: str = "127.0.0.1:9092"
    redis: str = "127.0.0.1:6379"
    dynamodb: str = "http://127.0.0.1:8000"
    s3: str = "http://127.0.0.1:5000"
    region: str = "eu-central-1"
    bucket: str = "carillon-templates"
    logs_table: str = "NotificationLogs"
    preferences_table: str = "UserPreferences"
    partitions: int = 8
    replication: int = 1
    state: Path = Path(".carillon/state")
    worker: str = field(default_factory=socket.gethostname)
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    window: int = 64
    keys: str = field(default="", repr=False)
    index_key: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read `CARILLON_*`. Raises Misconfigured with the variable's name."""
        source = os.environ if environment is None else environment
        found: dict[str, object] = {}
        for setting in fields(cls):
            text = source.get(PREFIX + setting.name.upper())
            if text is not None:
                try:
                    found[setting.name] = {"int": int, "Path": Path}.get(_type_name(setting.type), str)(text)
                except ValueError:
                    raise Misconfigured(f"{PREFIX}{setting.name.upper()} must be a whole number") from None
        return cls(**found)  # type: ignore[arg-type]

    def ring(self) -> KeyRing:
        """The key ring. Raises Misconfigured when there is none."""
        if not self.keys or not self.index_key:
            raise Misconfigured(
                "CARILLON_KEYS and CARILLON_INDEX_KEY are not set: `carillon keys` makes a pair; in the folder of a "
                "running `carillon up` they are there"
            )
        return KeyRing.from_text(self.keys, self.index_key)


def _type_name(found: object) -> str:
    return found if isinstance(found, str) else getattr(found, "__name__", "str")


def variables() -> set[str]:
    """Every variable the project reads, the providers' own included."""
    ours = {PREFIX + setting.name.upper() for setting in fields(Settings)}
    vendors = [module.PROVIDER for module in modules(agents.providers)]
    choices = {f"{PREFIX}{vendor.channel.upper()}_PROVIDER" for vendor in vendors}
    return ours.union(choices, *(provider_settings.variables(vendor, vendor.name).values() for vendor in vendors))
