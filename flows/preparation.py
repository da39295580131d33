"""What has to be there before workers start: topics, key ring, tables, bucket, seed templates. Safe to repeat."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.local.servers import REPOSITORY
from flows import key_registry, roster
from flows.clients import Rows
from flows.cluster import Cluster, Need
from flows.settings import Settings
from flows.templates import Templates
from schemas import topics
from schemas.errors import Misconfigured

SEEDS = REPOSITORY / "deploy" / "templates"
"""One JSON file a template, named by its id."""


@dataclass(frozen=True, slots=True)
class Newer:
    """A seed template whose version is above the published one's."""

    template_id: str
    version: int
    published: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was changed: how many topics, the ids of keys and of templates, and the seeds that were left out."""

    topics: int
    keys: list[int]
    templates: list[str]
    newer: list[Newer]


def prepare(settings: Settings, retiring: Sequence[int] = (), *, newer_seeds: bool = False) -> Prepared:
    """Make what is missing (blocks). `retiring` are ids of keys that processes may do without from now on.

    With `newer_seeds` a seed takes the place of a published template of a lower version. Raises Misconfigured.
    """
    settings.ring()
    changed = cluster(settings).apply(roster.topics())
    created = any(change.topic == topics.KEY_RING and change.need is Need.CREATE for change in changed)
    keys = key_registry.register(settings, retiring, new=created)
    Rows(settings).make_tables()
    templates = Templates(settings)
    templates.make_bucket()
    published, newer = _seed(templates, newer_seeds)
    return Prepared(len(changed), keys, published, newer)


def cluster(settings: Settings) -> Cluster:
    """The cluster that the settings name."""
    return Cluster(settings.kafka, settings.partitions, settings.replication)


def _seed(templates: Templates, newer_seeds: bool) -> tuple[list[str], list[Newer]]:
    """Publish the seeds whose id is not in the bucket, and those of a higher version only if asked to: a published
    template may have been written by somebody since. Returns the ids published, and the newer seeds left out."""
    seeds = sorted(SEEDS.glob("*.json"))
    if not seeds:
        raise Misconfigured(f"no seed templates in {SEEDS}: install Carillon with its data files")
    there, published, newer = templates.published(), [], []
    for seed in seeds:
        body = seed.read_bytes()
        version: int = json.loads(body)["version"]
        known = templates.version(seed.stem) if seed.stem in there else 0
        if seed.stem in there and version > known and not newer_seeds:
            newer.append(Newer(seed.stem, version, known))
        elif version > known:
            templates.publish(seed.stem, version, body)
            published.append(seed.stem)
    return published, newer
