"""What has to be there before workers start: topics, tables, the bucket and the seed templates. Safe to repeat."""

import json

from deploy.local.servers import REPOSITORY
from flows import roster
from flows.clients import Rows, Templates
from flows.cluster import Cluster
from flows.settings import Settings
from schemas.errors import Misconfigured

SEEDS = REPOSITORY / "deploy" / "templates"
"""One JSON file a template, named by its id."""


def prepare(settings: Settings) -> tuple[int, int]:
    """Make what is missing; returns how many topics were changed and how many templates published (blocks)."""
    changed = cluster(settings).apply(roster.topics())
    Rows(settings).make_tables()
    templates = Templates(settings)
    templates.make_bucket()
    return len(changed), _seed(templates)


def cluster(settings: Settings) -> Cluster:
    """The cluster that the settings name."""
    return Cluster(settings.kafka, settings.partitions, settings.replication)


def _seed(templates: Templates) -> int:
    """Publish the seeds whose id is not in the bucket: a later version of one must not be taken back."""
    seeds = sorted(SEEDS.glob("*.json"))
    if not seeds:
        raise Misconfigured(f"no seed templates in {SEEDS}: install Carillon with its data files")
    published = templates.published()
    missing = [seed for seed in seeds if seed.stem not in published]
    for seed in missing:
        body = seed.read_bytes()
        templates.publish(seed.stem, json.loads(body)["version"], body)
    return len(missing)
