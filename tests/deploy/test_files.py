"""The files that containers are built and started from: valid, complete, and no more open than they say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy import files

LASTING = [name for name, service in files.services().items() if "restart" in service]


def test_compose_itself_accepts_the_file(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/no-engine"}
    command = ["docker-compose", "--file", str(files.COMPOSE), "config", "--services"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == set(files.services())


def test_there_are_a_controller_three_nodes_and_what_registers_them() -> None:
    assert set(files.services()) == {"controller", "register", "n1", "n2", "n3"}
    assert set(LASTING) == {"controller", "n1", "n2", "n3"}


@pytest.mark.parametrize("name", LASTING)
def test_what_lasts_has_a_health_check(name: str) -> None:
    assert files.services()[name]["healthcheck"]["test"][0] == "CMD"


def test_each_waits_for_what_it_needs() -> None:
    services = files.services()
    assert services["register"]["depends_on"] == {"controller": {"condition": "service_healthy"}}
    for node in files.nodes().values():
        assert node["depends_on"] == {"register": {"condition": "service_completed_successfully"}}


def test_the_nodes_registered_are_those_that_there_are() -> None:
    program, *arguments = files.services()["register"]["entrypoint"]
    assert program == "register"
    assert arguments == [f"{name}={files.address(node)}" for name, node in files.nodes().items()]


def test_everyone_is_told_where_the_controller_is() -> None:
    address = files.address(files.services()["controller"])
    flags = files.services()["controller"]["command"]
    assert f"--heddle-advertise={address}" in flags
    url = f"http://{address}:8080"
    assert files.services()["register"]["environment"]["HEDDLE_SERVER"] == url
    assert {node["environment"]["HEDDLE_CONTROLLERS"] for node in files.nodes().values()} == {url}


@pytest.mark.parametrize("name", sorted(files.services()))
def test_no_service_may_more_than_it_needs(name: str) -> None:
    service = files.services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert not {"privileged", "pid", "ipc", "network_mode", "userns_mode"} & set(service)
    expected = {"controller": ["NET_ADMIN"], "register": ["DAC_READ_SEARCH"]}
    assert service["cap_add"] == expected.get(name, ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"])


def test_only_loopback_of_the_host_sees_the_api() -> None:
    published = [port for service in files.services().values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:${HEDDLE_PORT:-8080}:8080"]


def test_a_node_sees_no_volume_of_another() -> None:
    for name, node in files.nodes().items():
        assert node["volumes"] == [f"{name}:/var/lib/heddle"]
    assert {f"{name}:/nodes/{name}" for name in files.nodes()} < set(files.services()["register"]["volumes"])


def test_what_is_built_is_there() -> None:
    for service in files.services().values():
        assert (files.ROOT / service["build"]["dockerfile"]).is_file()
        assert service["build"]["context"] == "."


@pytest.mark.parametrize("dockerfile", files.DOCKERFILES, ids=lambda path: path.parent.name)
def test_what_is_copied_is_in_the_build_context(dockerfile: Path) -> None:
    assert files.copies(dockerfile)
    for sources, _ in files.copies(dockerfile):
        for source in sources:
            assert source.exists(), f"{dockerfile} copies {source}"
            assert source.relative_to(files.ROOT).parts[0] in files.context()


def test_the_build_context_holds_nothing_else() -> None:
    copied = {
        source for dockerfile in files.DOCKERFILES for sources, _ in files.copies(dockerfile) for source in sources
    }
    assert files.context() == {source.relative_to(files.ROOT).parts[0] for source in copied}


def test_every_package_of_the_controller_is_in_its_image() -> None:
    (controller,) = [path for path in files.DOCKERFILES if path.parent.name == "controller"]
    copied = {str(source.relative_to(files.ROOT)) for sources, _ in files.copies(controller) for source in sources}
    # The lab and the benchmarks are no part of a deployment.
    packages = {path.parent.name for path in files.ROOT.glob("*/__init__.py")} - {"lab", "bench", "tests"}
    assert packages <= copied


@pytest.mark.parametrize("dockerfile", files.DOCKERFILES, ids=lambda path: path.parent.name)
def test_images_come_from_debian_alone_and_ship_no_tools(dockerfile: Path) -> None:
    stages = files.instructions(dockerfile, "FROM")
    assert {words[0] for words in stages} == {"debian:bookworm-slim"}
    last = dockerfile.read_text().rpartition("\nFROM ")[2]
    assert not re.search(r"\b(pip|git|gcc|build-essential|curl|wget|python3-(venv|pip|dev))\b", last)


def test_pip_installs_nothing_that_is_not_locked() -> None:
    (controller,) = [path for path in files.DOCKERFILES if path.parent.name == "controller"]
    for words in files.instructions(controller, "RUN"):
        for installation in " ".join(words).split("&&"):
            if "pip" in installation and " install " in installation and "apt-get" not in installation:
                assert "--require-hashes" in installation or "--no-deps" in installation
