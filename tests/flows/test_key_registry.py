"""A process's key ring against the cluster's: the rules without a broker, then registrations on a real one."""

import base64
import uuid
from dataclasses import replace

import pytest

from flows.cluster import Cluster
from flows.key_registry import Registered, check, register
from flows.settings import Settings
from schemas import topics
from schemas.errors import Misconfigured
from schemas.records import KeyRegistration
from schemas.sealing import KeyRing

KEY = {number: bytes([number]) * 32 for number in range(1, 5)}
INDEX, OTHER = b"i" * 32, b"o" * 32


def ring(*numbers: int, index: bytes = INDEX, **other: bytes) -> KeyRing:
    """A ring of the usual keys under these ids, or of `key1=...`."""
    return KeyRing({**{n: KEY[n] for n in numbers}, **{int(k[3:]): v for k, v in other.items()}}, index)


def registered(*rings: KeyRing, retired: list[int] | None = None) -> Registered:
    found = Registered()
    for each in rings:
        prints = each.fingerprint
        found.apply(KeyRegistration(index_key=prints.index_key, keys=dict(prints.keys), retired=retired or []))
    return found


def refused(cluster: Registered, mine: KeyRing) -> str:
    with pytest.raises(Misconfigured) as caught:
        cluster.check(mine.fingerprint)
    return str(caught.value)


def test_a_process_with_the_clusters_keys_is_taken() -> None:
    registered(ring(1, 2)).check(ring(1, 2).fingerprint)


def test_without_a_registration_a_process_is_told_to_run_setup() -> None:
    assert "run `carillon setup`" in refused(Registered(), ring(1))


def test_another_key_under_a_known_id_is_refused_by_its_id() -> None:
    said = refused(registered(ring(1, 2)), ring(1, key2=OTHER))
    assert said.startswith("key id 2 in CARILLON_KEYS is another key than the cluster's key 2: set the keys")


def test_another_index_key_is_refused_by_its_variable() -> None:
    assert "CARILLON_INDEX_KEY is not the cluster's" in refused(registered(ring(1)), ring(1, index=OTHER))


def test_a_key_that_the_cluster_knows_and_the_process_lacks_is_refused() -> None:
    assert "CARILLON_KEYS lacks key id 1, which this cluster is used with: add it" in refused(
        registered(ring(1, 2)), ring(2)
    )


def test_a_key_that_the_cluster_does_not_know_is_refused_until_setup_has_registered_it() -> None:
    assert "key id 2 in CARILLON_KEYS is not registered" in refused(registered(ring(1)), ring(1, 2))
    registered(ring(1), ring(1, 2)).check(ring(1, 2).fingerprint)


def test_a_registration_that_contradicts_an_earlier_one_counts_for_nothing() -> None:
    found = registered(ring(1), ring(key1=OTHER), ring(1, 2, index=OTHER))
    found.check(ring(1).fingerprint)


def test_a_retired_key_may_be_left_out_but_must_not_seal() -> None:
    found = registered(ring(1, 2), retired=[1])
    found.check(ring(2).fingerprint)
    found.check(ring(1, 2).fingerprint)
    assert "key id 1 is retired but seals" in refused(registered(ring(1, 2), retired=[1, 2]), ring(1))


def test_no_refusal_shows_a_key_or_its_fingerprint() -> None:
    mine = ring(1, key2=OTHER, index=OTHER)
    said = refused(registered(ring(1, 2)), mine)
    for shown in (OTHER.decode(), mine.fingerprint.index_key, *mine.fingerprint.keys.values()):
        assert shown not in said


def test_a_fingerprint_differs_with_the_key_and_stays_the_same_with_it() -> None:
    assert ring(1).fingerprint == ring(1).fingerprint
    assert len({*ring(1, 2, 3, 4).fingerprint.keys.values(), ring(1).fingerprint.index_key}) == 5


def of(kafka: str, *numbers: int) -> Settings:
    """Settings with the usual keys under these ids."""
    keys = ",".join(f"{n}:{base64.b64encode(KEY[n]).decode()}" for n in numbers)
    return Settings(kafka=kafka, keys=keys, index_key=base64.b64encode(INDEX).decode())


def test_a_further_key_is_taken_once_it_is_registered_and_a_retired_one_may_go(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "KEY_RING", replace(topics.KEY_RING, name=f"key-ring-{uuid.uuid4().hex[:8]}"))
    with pytest.raises(Misconfigured, match="is missing: run `carillon setup`"):
        check(of(kafka, 1))
    Cluster(kafka, 1, 1).apply([topics.KEY_RING])
    assert register(of(kafka, 1), new=True) == [1]
    with pytest.raises(Misconfigured, match="key id 2 in CARILLON_KEYS is not registered"):
        check(of(kafka, 1, 2))
    assert register(of(kafka, 1, 2)) == [2]
    assert register(of(kafka, 1, 2)) == []
    with pytest.raises(Misconfigured, match="lacks key id 2"):
        register(of(kafka, 1))
    with pytest.raises(Misconfigured, match="key id 3 cannot be retired: this cluster is used with key ids 1, 2"):
        register(of(kafka, 1, 2), [3])
    assert register(of(kafka, 2), [1]) == []
    check(of(kafka, 2))
