"""The API server of these tests: the double, unless KUBECONFIG_UNDER_TEST names a real one (make test-kubernetes)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kube.cluster import Cluster, double, install


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what only a real API server does: the double checks no schemas."""
    if "KUBECONFIG_UNDER_TEST" not in os.environ:
        items[:] = [item for item in items if item.get_closest_marker("real") is None]


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    given = os.environ.get("KUBECONFIG_UNDER_TEST")
    if given:
        yield Cluster(Path(given), None)
        return
    with double(tmp_path_factory.mktemp("double")) as cluster:
        yield cluster


@pytest.fixture
def cluster(api_server: Cluster) -> Iterator[Cluster]:
    yield api_server
    api_server.clean()


@pytest.fixture
def installed(cluster: Cluster) -> Cluster:
    """The API server with our custom resources."""
    install(cluster)
    return cluster


@pytest.fixture
def breakable(tmp_path: Path) -> Iterator[Cluster]:
    """A double of its own, for tests that break it."""
    with double(tmp_path) as cluster:
        yield cluster
