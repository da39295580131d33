"""Whether what workers show, their logs and their /metrics, holds addresses, words or keys that the run used."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

from accepted import Entry
from audit import Audit
from harness import Rig

KEYS = ("KEYS", "INDEX_KEY", "TWILIO_KEY", "SENDGRID_KEY", "FCM_KEY")
_MATERIAL = re.compile(r"[\w.+/=]{8,}")
"""What is secret in the setting of a key: not its number, nor the frame around a PEM."""


def check(rig: Rig, accepted: Path, result: Audit) -> None:
    """Hold the logs of every worker, and the /metrics of those that run, against all that must not be in them."""
    logs = {path.name: path.read_text(errors="replace") for path in sorted((rig.folder / "logs").iterdir())}
    metrics = {f"{worker.name} /metrics": worker.metrics() for worker in rig.workers}
    with accepted.open() as lines:
        hidden = of_load(map(Entry.read, lines)) | of_settings(os.environ)
    result.figures["log_lines"] = sum(len(text.splitlines()) for text in logs.values())
    result.figures["metric_lines"] = sum(len(text.splitlines()) for text in metrics.values())
    result.figures["kept_secret"] = len(hidden)
    result.expect_none("leaked", leaks(logs | metrics, hidden))


def of_load(entries: Iterable[Entry]) -> set[str]:
    """The addresses, the params and the idempotency keys of all that was sent and can be read."""
    found: set[str] = set()
    for entry in entries:
        if entry.kind == "hostile":
            continue
        try:
            body = json.loads(entry.value or b"")
        except ValueError:
            continue
        found.update(address["address"].removeprefix("+") for address in body.get("addresses", ()))
        found.update(value for value in body.get("params", {}).values() if isinstance(value, str))
        found.update([body["idempotency_key"]] if "idempotency_key" in body else [])
    return found


def of_settings(environment: Mapping[str, str]) -> set[str]:
    """The key material in the settings of workers."""
    texts = (environment.get(f"CARILLON_{name}", "").replace("\\n", "\n") for name in KEYS)
    return {found for text in texts for found in _MATERIAL.findall(text)}


def leaks(shown: Mapping[str, str], hidden: set[str]) -> Iterator[tuple[str, str]]:
    """Each secret with the place that shows it, percent-encoded or not."""
    sizes = {len(secret) for secret in hidden}
    for place, text in shown.items():
        plain = unquote(text)
        found = {part for size in sizes for at in range(len(plain)) if (part := plain[at : at + size]) in hidden}
        yield from ((place, secret) for secret in sorted(found))
