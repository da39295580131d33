"""Carillon's own settings, read once from the environment into one frozen value; here is every one with its default.

What a provider needs are the fields of its class in `agents/providers/`, and CARILLON_<CHANNEL>_PROVIDER chooses among
several of a channel (`agents/provider.py`); credentials of AWS are boto3's to read. White space around a value does not
count: a secret that is read from a file ends with a line break.
"""

import difflib
import os
import re
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


def _text(default: str) -> Any:
    """A setting that is any text but none."""

    def read(variable: str, text: str) -> str:
        if not text:
            raise Misconfigured(f"{variable} is empty: set it, or unset it for {default}")
        return text

    return field(default=default, metadata={_READ: read})


def _folder(default: str) -> Any:
    read = _text(default).metadata[_READ]
    return field(default=Path(default), metadata={_READ: lambda variable, text: Path(read(variable, text))})


_BROKER = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")


def _brokers(variable: str, text: str) -> str:
    """`host:port[,host:port]`, as both of Kafka's clients read it."""
    brokers = [broker.strip() for broker in text.split(",")]
    found = [_BROKER.fullmatch(broker) for broker in brokers]
    if not all(match and 0 < int(match[1]) < 2**16 for match in found):
        raise Misconfigured(f"{variable} must be host:port[,host:port], such as 127.0.0.1:9092, not {text!r}")
    return ",".join(brokers)


def worker_id(variable: str, text: str) -> str:
    """The name of a worker, of which a folder and a member of consumer groups are called. Raises Misconfigured."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", text):
        raise Misconfigured(f"{variable} must be 1 to 128 letters, digits, '.', '_' or '-', not {text!r}")
    return text


_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_KUBERNETES = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?)?)")
"""What Kubernetes sets in every pod for a Service called `carillon-...`: no misspelt setting of ours."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are and what this process is called. Secrets stay out of its text."""

    kafka: str = field(default="127.0.0.1:9092", metadata={_READ: _brokers})
    dynamodb: str = _server("http://127.0.0.1:8000")
    s3: str = _server("http://127.0.0.1:5000")
    # Without CARILLON_REGION it is AWS_REGION, else AWS_DEFAULT_REGION.
    region: str = _text("eu-central-1")
    bucket: str = _text("carillon-templates")
    logs_table: str = _text("NotificationLogs")
    preferences_table: str = _text("UserPreferences")
    # A table key says the partition in HOME_BYTES, of which one value means none; Kafka says replicas in 15 bits.
    partitions: int = _whole(8, 1, 256**HOME_BYTES - 1)
    replication: int = _whole(1, 1, 2**15 - 1)
    state: Path = _folder(".carillon/state")
    worker: str = field(default_factory=socket.gethostname, metadata={_READ: worker_id})
    metrics_host: str = _text("127.0.0.1")
    metrics_port: int = _whole(0, 0, 2**16 - 1)
    window: int = _whole(64, 1, 10_000)
    keys: str = field(default="", repr=False)
    index_key: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read `CARILLON_*`. Raises Misconfigured with the variable's name, and what is allowed."""
        source = os.environ if environment is None else environment
        refuse_unknown(source)
        found: dict[str, Any] = {}
        for setting in fields(cls):
            variable = PREFIX + setting.name.upper()
            text = source.get(variable)
            if text is not None:
                read = setting.metadata.get(_READ)
                found[setting.name] = read(variable, text.strip()) if read is not None else text.strip()
        for variable in _REGIONS:
            if text := source.get(variable, "").strip():
                found.setdefault("region", text)
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


def refuse_unknown(environment: Mapping[str, str]) -> None:
    """Raises Misconfigured for a CARILLON_ variable that nothing reads, with the nearest name there is."""
    given = {name for name in environment if name.startswith(PREFIX)} - (known := variables())
    unknown = sorted(name for name in given if not _KUBERNETES.fullmatch(name))
    if unknown:
        names = sorted(name.removeprefix(PREFIX) for name in known)
        near = difflib.get_close_matches(unknown[0].removeprefix(PREFIX), names, 1)
        hint = f"did you mean {PREFIX}{near[0]}?" if near else "unset it; flows/settings.py names all of them"
        more = f" ({len(unknown) - 1} more: {', '.join(unknown[1:4])})" if unknown[1:] else ""
        raise Misconfigured(f"{unknown[0]} is no setting: {hint}{more}")
