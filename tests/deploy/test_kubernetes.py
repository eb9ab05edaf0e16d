"""The manifests hold against the code: flags, fields, paths, accounts, probes; and nobody may more than is needed."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from cni_shim.node import main as heddle_node
from cni_shim.node import settings
from kube import permissions
from rest.app import ROUTES
from ryu_apps import options
from tests.deploy import files, manifests
from tests.deploy.manifests import BASE, EXAMPLE, FOLDER, containers, find, pod

NAMES = [workload["metadata"]["name"] for workload in manifests.workloads()]
WORKLOADS = pytest.mark.parametrize("workload", manifests.workloads(), ids=NAMES)
PLACES = pytest.mark.parametrize("folder", [BASE, EXAMPLE], ids=lambda path: path.name)
CONTROLLER = find("Deployment", "heddle-controller")
NODE = find("DaemonSet", "heddle-node")
OVS = find("DaemonSet", "heddle-ovs")


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod(workload)["containers"]
    return dict(found)


def flags(workload: dict[str, Any]) -> dict[str, str]:
    pairs = (argument.partition("=") for argument in container(workload)["args"] if argument.startswith("--"))
    return {name: value for name, _, value in pairs}


# --- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("kustomization.yaml")), ids=lambda path: path.parent.name)
def test_kustomizations_name_files_that_there_are(path: Path) -> None:
    content = manifests.kustomization(path.parent)
    for name in content["resources"]:
        assert (path.parent / name).exists()
    for generator in content.get("configMapGenerator", []):
        assert all((path.parent / name).is_file() for name in generator.get("files", []))


def test_every_file_of_the_base_is_used() -> None:
    used = {*manifests.kustomization(BASE)["resources"], "kustomization.yaml"}
    used |= {name for each in manifests.kustomization(BASE)["configMapGenerator"] for name in each.get("files", [])}
    assert {path.name for path in BASE.iterdir()} == {name for name in used if not name.startswith("..")}


def test_the_example_changes_what_the_base_has() -> None:
    made = {each["name"]: each for each in manifests.kustomization(BASE)["configMapGenerator"]}
    for generator in manifests.kustomization(EXAMPLE)["configMapGenerator"]:
        before = made[generator["name"]]
        assert generator["behavior"] == "merge"
        assert generator.get("files", []) == before.get("files", [])
        keys = [[literal.partition("=")[0] for literal in each.get("literals", [])] for each in (generator, before)]
        assert keys[0] == keys[1]
    images = {image["name"] for image in manifests.kustomization(EXAMPLE)["images"]}
    assert images == {one["image"] for workload in manifests.workloads() for one in containers(workload)}


def test_objects_are_in_our_namespace() -> None:
    homeless = {"Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "Kustomization"}
    for each in manifests.objects():
        if each["kind"] not in homeless:
            assert each["metadata"]["namespace"] == permissions.NAMESPACE
    labels = find("Namespace", permissions.NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"


# --- settings --------------------------------------------------------------------------------------


@PLACES
def test_the_controllers_file_has_known_keys(folder: Path) -> None:
    declared = {option.dest for option in options.declared()}
    found = manifests.controller_settings(folder)
    assert set(found) <= declared
    assert found["namespace"] == permissions.NAMESPACE
    assert found["kubernetes"] == "true"
    assert "insecure" not in found


def test_the_controllers_flags_are_known() -> None:
    declared = {options.flag(option.name) for option in options.declared()} | {"--config-file"}
    assert set(flags(CONTROLLER)) <= declared


@PLACES
def test_heddle_nodes_file_is_one(folder: Path) -> None:
    given = {"node": "n1", "apiserver": {"url": "https://192.0.2.10:6443"}}
    found = settings.parse(settings.changed(manifests.node_settings(folder), given))
    assert found.apiserver is not None
    assert found.apiserver.namespace == permissions.NAMESPACE
    assert found.apiserver.token_file == str(settings.ACCOUNT / "token")


def test_the_files_of_base_and_example_differ_in_what_the_example_is_for() -> None:
    base, example = (manifests.node_settings(folder) for folder in (BASE, EXAMPLE))
    assert {name for name in base if base[name] != example[name]} == {"datapath"}


def test_heddle_nodes_flags_are_known() -> None:
    assert set(flags(NODE)) <= {flag for flag, _, _ in heddle_node.FLAGS} | {"--config"}
    assert container(NODE)["args"][-1] in heddle_node.COMMANDS


@PLACES
def test_the_conflist_comes_before_those_of_others(folder: Path) -> None:
    others = ("10-calico.conflist", "10-containerd-net.conflist", "10-flannel.conflist", "05-cilium.conflist")
    ours = manifests.node_settings(folder)["cni_file"]
    assert [name for name in others if name < ours] == ["05-cilium.conflist"]  # nobody has two of these


def test_everything_that_is_interpolated_is_there() -> None:
    for workload in manifests.workloads():
        for each in containers(workload):
            wanted = set(re.findall(r"\$\((\w+)\)", " ".join(each.get("args", []))))
            assert wanted <= {variable["name"] for variable in each.get("env", [])}


def test_config_maps_are_those_that_are_made() -> None:
    made = {each["name"] for each in manifests.kustomization(BASE)["configMapGenerator"]}
    assert set(re.findall(r"configMap(?:KeyRef)?: \{name: ([\w-]+)", _text())) == made


def test_secrets_are_those_that_the_document_makes() -> None:
    said = (files.ROOT / "docs" / "kubernetes.md").read_text()
    for name in set(re.findall(r"secretName: ([\w-]+)", _text())):
        assert f"create secret generic {name} " in said


def _text() -> str:
    return "\n".join(path.read_text() for path in sorted(BASE.glob("*.yaml")))


# --- paths -----------------------------------------------------------------------------------------


def paths(content: Any) -> list[str]:
    if isinstance(content, dict):
        return [path for value in content.values() for path in paths(value)]
    return [content] if isinstance(content, str) and content.startswith("/") else []


@pytest.mark.parametrize(
    ("workload", "content"),
    [
        (CONTROLLER, manifests.controller_settings(BASE)),
        (CONTROLLER, manifests.controller_settings(EXAMPLE)),
        (NODE, manifests.node_settings(BASE)),
        (NODE, manifests.node_settings(EXAMPLE)),
    ],
    ids=["controller", "example controller", "node", "example node"],
)
def test_every_path_in_a_settings_file_is_mounted(workload: dict[str, Any], content: dict[str, Any]) -> None:
    mounted = {mount["mountPath"] for mount in container(workload)["volumeMounts"]}
    for path in paths(content):
        assert any(PurePosixPath(path).is_relative_to(mount) for mount in mounted), path


def test_open_vswitch_sees_its_keys_where_heddle_node_says() -> None:
    told = manifests.node_settings(BASE)
    mounted = [mount["mountPath"] for mount in container(OVS)["volumeMounts"]]
    for path in (*told["openflow_tls"].values(), told["ovs_rundir"], told["state_dir"]):
        assert any(PurePosixPath(path).is_relative_to(mount) for mount in mounted), path


def test_what_the_plugin_is_told_is_on_the_host_under_the_same_name() -> None:
    told = manifests.node_settings(BASE)
    host = manifests.on_host(NODE, container(NODE))
    assert all(seen == real for seen, real in host.items())
    for path in (told["token_file"], told["cni_ca_file"], told["ovs_rundir"], told["cni_conf_dir"]):
        assert any(PurePosixPath(path).is_relative_to(mount) for mount in host), path


def test_the_plugin_is_installed_where_runtimes_look() -> None:
    (install,) = pod(NODE)["initContainers"]
    assert manifests.on_host(NODE, install) == {"/opt/cni": "/opt/cni"}


def test_daemons_and_heddle_node_share_folders() -> None:
    for path in ("/run/openvswitch", "/var/lib/heddle-node"):
        assert manifests.on_host(NODE, container(NODE))[path] == manifests.on_host(OVS, container(OVS))[path]


@WORKLOADS
def test_volumes_and_mounts_fit(workload: dict[str, Any]) -> None:
    volumes = {volume["name"] for volume in pod(workload)["volumes"]}
    assert {mount["name"] for each in containers(workload) for mount in each["volumeMounts"]} == volumes


# --- programs and probes ---------------------------------------------------------------------------


def test_commands_are_in_their_images() -> None:
    for workload in manifests.workloads():
        for each in containers(workload):
            (dockerfile,) = (path for path in files.DOCKERFILES if f"heddle-{path.parent.name}" == each["image"])
            installed = {
                PurePosixPath(target).name if not target.endswith("/") else source.name
                for sources, target in files.copies(dockerfile)
                for source in sources
            }
            assert each["command"][0] in installed | {"heddle-controller"}  # which pip puts there


def test_probes_ask_what_there_is() -> None:
    served = {route.path for route in ROUTES}
    ports = {port["name"]: port["containerPort"] for port in container(CONTROLLER)["ports"]}
    for probe in ("livenessProbe", "readinessProbe"):
        asked = container(CONTROLLER)[probe]["httpGet"]
        assert asked["path"] in served
        assert flags(CONTROLLER)["--heddle-rest-listen"] == f"$(HOST_IP):{ports[asked['port']]}"
    assert flags(CONTROLLER)["--heddle-openflow-listen"] == f"$(HOST_IP):{ports['openflow']}"
    told = manifests.node_settings(BASE)
    assert container(NODE)["readinessProbe"]["exec"]["command"][-1] == f"{told['cni_conf_dir']}/{told['cni_file']}"


# --- where, and what they may ----------------------------------------------------------------------


@WORKLOADS
def test_each_is_there_before_there_is_a_network(workload: dict[str, Any]) -> None:
    spec = pod(workload)
    assert spec["hostNetwork"] is True
    assert spec["dnsPolicy"] == "Default"  # cluster DNS is a service
    tolerated = spec["tolerations"]
    for taint in ("node.kubernetes.io/not-ready", "node.kubernetes.io/network-unavailable"):
        assert any(
            each["operator"] == "Exists" and each.get("key") in (None, taint) and "tolerationSeconds" not in each
            for each in tolerated
        )
    assert spec["priorityClassName"].startswith("system-")


def test_the_api_server_is_reached_by_its_own_address() -> None:
    for workload, flag in ((CONTROLLER, "--heddle-apiserver"), (NODE, "--apiserver")):
        assert flags(workload)[flag] == "$(HEDDLE_APISERVER)"


def test_two_replicas_are_never_on_one_node() -> None:
    assert CONTROLLER["spec"]["replicas"] >= 2
    (rule,) = pod(CONTROLLER)["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule["topologyKey"] == "kubernetes.io/hostname"
    assert CONTROLLER["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0


def test_an_upgrade_of_heddle_leaves_open_vswitch_alone() -> None:
    assert OVS["spec"]["updateStrategy"] == {"type": "OnDelete"}
    assert NODE["spec"]["updateStrategy"]["rollingUpdate"]


def test_accounts_are_those_that_have_rights() -> None:
    assert pod(CONTROLLER)["serviceAccountName"] == permissions.CONTROLLER
    assert pod(NODE)["serviceAccountName"] == permissions.NODE
    assert pod(OVS)["automountServiceAccountToken"] is False
    for name in (permissions.CONTROLLER, permissions.NODE, permissions.ADMINISTRATOR):
        assert find("ServiceAccount", name)


@WORKLOADS
def test_no_container_may_more_than_it_needs(workload: dict[str, Any]) -> None:
    added = {"node": ["NET_ADMIN", "NET_RAW"]}
    for each in containers(workload):
        may = each["securityContext"]
        assert may["readOnlyRootFilesystem"] is True
        if each["name"] == "ovs":
            assert may["privileged"] is True
            continue
        assert may["allowPrivilegeEscalation"] is False
        assert may["capabilities"]["drop"] == ["ALL"]
        assert may["capabilities"].get("add", []) == added.get(each["name"], [])
        assert "requests" in each["resources"]
    assert not {"hostPID", "hostIPC"} & set(pod(workload))


def test_the_controllers_user_is_that_of_its_image() -> None:
    (dockerfile,) = (path for path in files.DOCKERFILES if path.parent.name == "controller")
    (uid,) = re.findall(r"--uid (\d+)", dockerfile.read_text())
    context = pod(CONTROLLER)["securityContext"]
    assert context["runAsNonRoot"] is True
    assert {context["runAsUser"], context["fsGroup"]} == {int(uid)}


def test_selectors_select() -> None:
    for workload in manifests.workloads():
        assert workload["spec"]["selector"]["matchLabels"] == workload["spec"]["template"]["metadata"]["labels"]
    assert find("PodDisruptionBudget", "heddle-controller")["spec"]["selector"] == CONTROLLER["spec"]["selector"]
