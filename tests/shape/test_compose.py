"""docker-compose.yml and the Dockerfile, held against the tree: no container runs here."""

import re
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from deploy.local.stack import PARTS, Addresses
from flows import roster
from flows.cli.workers import hosted, worker

REPOSITORY = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (REPOSITORY / "deploy" / "Dockerfile").read_text()
WORKERS = {name: service for name, service in SERVICES.items() if "worker" in service.get("command", [])}


def image_version(service: str) -> str:
    return str(SERVICES[service]["image"].partition(":")[2])


def jar_version(folder: str) -> str:
    pom = ElementTree.parse(REPOSITORY / "deploy" / "local" / folder / "pom.xml")
    found = pom.find("{*}dependencies/{*}dependency/{*}version")
    assert found is not None
    return str(found.text)


def test_every_variable_is_one_that_the_settings_know() -> None:
    from flows.settings import variables

    named = {name for service in WORKERS.values() for name in service["environment"] if name.startswith("CARILLON_")}
    assert named <= variables()


def test_the_workers_have_the_settings_of_the_local_stack() -> None:
    local = Addresses(*PARTS).environment()
    for service in WORKERS.values():
        assert set(service["environment"]) == set(local)


def asked(service: dict[str, Any]) -> dict[str, Any]:
    """What `carillon worker` makes of a service's command line."""
    words = service["command"]
    return dict(worker.make_context("worker", words[words.index("worker") + 1 :]).params)


def flows_of(service: dict[str, Any]) -> list[str]:
    return hosted(*(asked(service)[name] for name in ("names", "lane", "beside")))


def test_every_flow_of_the_roster_is_hosted_once() -> None:
    assert Counter(flow for service in WORKERS.values() for flow in flows_of(service)) == dict.fromkeys(roster.FLOWS, 1)


def test_no_process_hosts_flows_of_two_lanes() -> None:
    for service in WORKERS.values():
        assert len({roster.FLOWS[flow].lane for flow in flows_of(service)}) == 1
        assert not asked(service)["shared"]


def test_every_worker_has_an_id_of_its_own_in_the_folder_that_setup_prepares() -> None:
    assert len({asked(service)["worker"] for service in WORKERS.values()} - {None}) == len(WORKERS)
    assert {tuple(service["volumes"]) for service in WORKERS.values()} == {tuple(SERVICES["setup"]["volumes"])}


def test_every_address_names_a_service_of_the_file() -> None:
    for service in WORKERS.values():
        for name, value in service["environment"].items():
            if name.startswith("CARILLON_"):
                assert re.sub(r"^http://", "", value).partition(":")[0] in SERVICES


def test_published_ports_are_local_and_do_not_clash() -> None:
    published = [port.split(":") for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(address == "127.0.0.1" for address, _, _ in published)
    assert len({host for _, host, _ in published}) == len(published)


def test_every_server_of_the_local_stack_has_a_health_check_that_the_workers_wait_for() -> None:
    assert all("healthcheck" in SERVICES[part] for part in PARTS)
    healthy = {part: {"condition": "service_healthy"} for part in PARTS}
    for service in WORKERS.values():
        assert service["depends_on"] == {**healthy, "setup": {"condition": "service_completed_successfully"}}
    assert SERVICES["setup"]["depends_on"] == healthy


def test_every_volume_is_declared_used_and_no_folder_of_the_host() -> None:
    mounted = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert mounted == set(COMPOSE["volumes"])


def test_what_is_built_and_copied_is_in_the_tree() -> None:
    for service in SERVICES.values():
        if build := service.get("build"):
            context = REPOSITORY / build["context"]
            assert (context / build["dockerfile"]).is_file()
    copied = re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE)
    assert copied
    assert [path for path in copied if not (REPOSITORY / path).exists()] == []
    ignored = (REPOSITORY / "deploy" / "Dockerfile.dockerignore").read_text()
    assert {path.partition("/")[0] for path in copied} == set(re.findall(r"^!(\S+)", ignored, re.MULTILINE))


def test_containers_and_local_stack_run_the_same_versions() -> None:
    assert image_version("kafka") == jar_version("kafka")
    assert image_version("dynamodb") == jar_version("dynamodb")
    pinned = (REPOSITORY / "requirements" / "dev.txt").read_text()
    assert f"\nmoto=={image_version('s3')} " in pinned


def test_a_command_that_runs_a_module_names_one_that_exists() -> None:
    for service in SERVICES.values():
        command = service.get("command", [])
        if "-m" in command:
            module = REPOSITORY / command[command.index("-m") + 1].replace(".", "/")
            assert module.with_suffix(".py").exists() or (module / "__main__.py").exists()
