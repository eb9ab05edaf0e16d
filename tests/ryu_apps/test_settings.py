"""Flags and INI file become one checked value, or an error that names the flag and the remedy."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from oslo_config import cfg

from ryu_apps import options, settings
from ryu_apps.listening import InheritedSocket, TcpAddress, UnixPath, listen_at
from ryu_apps.settings import Settings, SettingsError, checks
from topology.admission import admit
from topology.model import PortRange
from topology.requests import Refused, SetCluster
from topology.snapshot import empty

TOKEN = "0123456789abcdef"

# The options of Ryu that are written or refused, with the defaults that Ryu gives them.
RYUS = (
    cfg.StrOpt("ofp-listen-host", default="0.0.0.0"),
    cfg.IntOpt("ofp-tcp-listen-port"),
    cfg.IntOpt("ofp-ssl-listen-port"),
    cfg.StrOpt("ctl-privkey"),
    cfg.StrOpt("ctl-cert"),
    cfg.StrOpt("ca-certs"),
    cfg.StrOpt("wsapi-host", default="0.0.0.0"),
    cfg.IntOpt("wsapi-port", default=8080),
)


def parsed(*args: str) -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    conf.register_cli_opts(RYUS)
    options.register(conf)
    conf(args=args, project="test", default_config_files=[])
    return conf


def read(*args: str) -> Settings:
    return settings.read(parsed(*args))


@pytest.fixture(autouse=True)
def _in_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    return str(file)


@pytest.fixture
def tls_flags(tmp_path: Path) -> list[str]:
    """Flags that name a certificate, its key and the CA of both."""
    ca = trustme.CA()
    certificate = ca.issue_cert("192.0.2.1")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    return [
        f"--heddle-tls-{what}={tmp_path / file}"
        for what, file in (("certificate", "cert.pem"), ("key", "key.pem"), ("ca", "ca.pem"))
    ]


def test_defaults_listen_on_loopback_only(tmp_path: Path) -> None:
    given = read()
    assert given.openflow_listen == TcpAddress(IPv4Address("127.0.0.1"), 6653)
    assert given.rest_listen == (TcpAddress(IPv4Address("127.0.0.1"), 8080),)
    assert given.controllers == ("tcp:127.0.0.1:6653",)
    assert given.store == tmp_path / "heddle.sqlite"
    assert (given.tls, given.admin_token, given.insecure, given.exposures) == (None, None, False, ())
    assert given.cluster.cluster_cidrs == (IPv4Network("10.128.0.0/14"),)
    assert given.cluster.service_cidrs == (IPv4Network("172.30.0.0/16"),)
    assert given.cluster.translation_cidrs == (IPv4Network("100.64.0.0/10"),)
    assert given.cluster.node_ports == PortRange(30000, 32767)
    assert given.cluster.external_cidrs == ()
    assert given.cluster.encapsulation == "vxlan"
    assert given.cluster.node_prefix == 23
    assert given.cluster.own_networks is False
    assert given.cluster.guarded_tcp_ports == (6640, 6653, 8080)


def test_ini_file_says_the_same_as_flags(tmp_path: Path) -> None:
    ini = tmp_path / "heddle.ini"
    ini.write_text(
        "[heddle]\nrest_listen = 127.0.0.1:81, [::1]:82\nrest_listen = unix:./api\nnode_prefix = 24\n"
        "cluster_cidr = 10.0.0.0/8,fd00::/48\nadvertise = 192.0.2.1,192.0.2.2\ninsecure = true\n"
        "own_networks = true\nnode_ports = none\nencapsulation = geneve\n"
    )
    by_file = read("--config-file", str(ini))
    by_flags = read(
        "--heddle-rest-listen=127.0.0.1:81, [::1]:82", "--heddle-rest-listen=unix:./api", "--heddle-node-prefix=24",
        "--heddle-cluster-cidr", "10.0.0.0/8,fd00::/48", "--heddle-advertise=192.0.2.1,192.0.2.2", "--heddle-insecure",
        "--heddle-own-networks", "--heddle-node-ports=none", "--heddle-encapsulation=geneve",
    )  # fmt: skip
    assert by_file == by_flags
    assert by_file.cluster.own_networks is True
    assert by_file.cluster.node_ports is None
    assert by_file.cluster.encapsulation == "geneve"
    assert by_file.rest_listen[2] == UnixPath(tmp_path / "api")
    assert by_file.cluster.cluster_cidrs == (IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/48"))
    assert by_file.cluster.guarded_tcp_ports == (81, 82, 6640, 6653)
    assert by_file.controllers == ("tcp:192.0.2.1:6653", "tcp:192.0.2.2:6653")
    assert by_file.cluster.control_plane == by_file.advertise


def test_a_flag_beats_the_file(tmp_path: Path) -> None:
    (tmp_path / "heddle.ini").write_text("[heddle]\nnode_prefix = 24\n")
    assert read("--config-file", "heddle.ini", "--heddle-node-prefix=25").cluster.node_prefix == 25


@pytest.mark.parametrize(
    ("args", "named", "remedy"),
    [
        (["--heddle-openflow-listen=6653"], "--heddle-openflow-listen: '6653'", "needed is HOST:PORT"),
        (["--heddle-openflow-listen=127.0.0.1:0"], "--heddle-openflow-listen: '127.0.0.1:0'", "PORT is 1 to 65535"),
        (["--heddle-openflow-listen=127.0.0.1:65536"], "127.0.0.1:65536", "PORT is 1 to 65535"),
        (["--heddle-openflow-listen=:::6653"], ":::6653", "IPv6 in brackets"),
        (["--heddle-openflow-listen=[127.0.0.1]:1"], "[127.0.0.1]:1", "IPv6 in brackets"),
        (["--heddle-openflow-listen=controller:6653"], "controller:6653", "IP address"),
        (["--heddle-rest-listen=10.0.0.300:80"], "--heddle-rest-listen: '10.0.0.300:80'", "needed is HOST:PORT"),
        (["--heddle-rest-listen=unix:"], "--heddle-rest-listen: 'unix:'", "unix:PATH"),
        (["--heddle-rest-listen=unix:no/where"], "no directory", "unix:PATH in one that exists"),
        (["--heddle-rest-listen=fd:99"], "--heddle-rest-listen: 'fd:99'", "has to open it"),
        (["--heddle-rest-listen=fd:x"], "--heddle-rest-listen: 'fd:x'", "has to open it"),
        (["--heddle-rest-listen=,"], "--heddle-rest-listen: nowhere to listen", "give HOST:PORT"),
        (["--heddle-rest-listen=[::1]:1,[::1]:1"], "[::1]:1", "given twice"),
        (["--heddle-advertise=node-1"], "--heddle-advertise: 'node-1'", "an IP address"),
        (["--heddle-cluster-cidr=10.128.0.0/99"], "--heddle-cluster-cidr: '10.128.0.0/99'", "such as 10.128.0.0/14"),
        (["--heddle-cluster-cidr=10.128.0.1/14"], "--heddle-cluster-cidr: '10.128.0.1/14'", "host bits set"),
        (["--heddle-cluster-cidr="], "--heddle-cluster-cidr", "one CIDR for each"),
        (["--heddle-cluster-cidr=10.0.0.0/9,10.128.0.0/9"], "--heddle-cluster-cidr", "one CIDR for each"),
        (["--heddle-service-cidr=10.129.0.0/16"], "--heddle-service-cidr: 10.129.0.0/16", "overlaps the pods"),
        (["--heddle-translation-cidr=100.64.0.1/10"], "--heddle-translation-cidr: '100.64.0.1/10'", "host bits set"),
        (["--heddle-external-cidr=203.0.113.5/24"], "--heddle-external-cidr: '203.0.113.5/24'", "host bits set"),
        (["--heddle-encapsulation=gre"], "--heddle-encapsulation: 'gre' is unknown", "vxlan, geneve"),
        (["--heddle-node-ports=30000"], "--heddle-node-ports: '30000'", "with a dash between them"),
        (["--heddle-node-ports=31000-30000"], "such as 30000-32767), or none", "not above the last"),
        (["--heddle-node-ports=0-65536"], "--heddle-node-ports: '0-65536'", "at most 65535"),
        (["--heddle-translation-cidr=x"], "--heddle-translation-cidr: 'x'", "such as 100.64.0.0/10"),
        (["--heddle-node-prefix=13"], "--heddle-node-prefix: 13", "from 14 (of 10.128.0.0/14) to 30"),
        (["--heddle-node-prefix=31"], "--heddle-node-prefix: 31", "to 30"),
        (["--heddle-store=no/where/file"], "--heddle-store", "make it first"),
        (["--heddle-store=."], "--heddle-store: '.'", "is not a file"),
        (["--heddle-admin-token-file=none"], "--heddle-admin-token-file: 'none'", "no such file"),
        (["--heddle-tls-certificate=a"], "--heddle-tls-key is missing", "needed together"),
        (["--heddle-tls-key=a"], "--heddle-tls-certificate is missing", "needed together"),
        (["--heddle-tls-ca=a"], "--heddle-tls-certificate is missing", "needed together"),
        (["--heddle-tls-certificate=a", "--heddle-tls-key=b"], "--heddle-tls-certificate: 'a'", "no such file"),
        (["--ofp-listen-host=0.0.0.0"], "ofp_listen_host", "use --heddle-openflow-listen"),
        (["--ofp-tcp-listen-port=6633"], "ofp_tcp_listen_port", "use --heddle-openflow-listen"),
        (["--ctl-cert=x"], "ctl_cert", "use --heddle-tls-certificate"),
        (["--wsapi-port=8080"], "wsapi_port", "use --heddle-rest-listen"),
        (["--heddle-openflow-listen=0.0.0.0:6653", "--heddle-insecure"], "0.0.0.0:6653", "give --heddle-advertise"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_remedy(args: list[str], named: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(*args)
    assert named in str(raised.value)
    assert remedy in str(raised.value)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("rest-listen = 127.0.0.1:1", "'rest-listen'"),
        ("stor = x", "'stor'"),
        ("node_prefix = many", "--heddle-node-prefix: 'many'"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, line: str, named: str) -> None:
    (tmp_path / "heddle.ini").write_text(f"[heddle]\n{line}\n")
    with pytest.raises(SettingsError, match=r"heddle") as raised:
        read("--config-file", "heddle.ini")
    assert named in str(raised.value)


@pytest.mark.parametrize("content", ["", "short", "two words that are long enough", "täglich-nie-0123456789"])
def test_a_token_that_is_none_is_refused_and_not_shown(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(SettingsError, match="--heddle-admin-token-file") as raised:
        read("--heddle-admin-token-file=token")
    assert not content or content not in str(raised.value)


def test_the_token_is_read_and_not_printed(token_file: str) -> None:
    given = read("--heddle-admin-token-file", token_file)
    assert given.admin_token == TOKEN
    assert TOKEN not in repr(given)


class TestExposure:
    """Nothing listens beyond loopback without TLS and authentication, unless told to."""

    OPENFLOW = ("--heddle-openflow-listen=192.0.2.1:6653",)
    REST = ("--heddle-rest-listen=192.0.2.1:8080",)

    def test_openflow_needs_certificates_of_the_switches_too(self, tls_flags: list[str]) -> None:
        for flags in ((), tls_flags[:2]):
            with pytest.raises(SettingsError, match=r"192\.0\.2\.1:6653.*--heddle-tls-ca.*--heddle-insecure"):
                read(*self.OPENFLOW, *flags)
        given = read(*self.OPENFLOW, *tls_flags)
        assert given.controllers == ("ssl:192.0.2.1:6653",)
        assert given.exposures == ()

    def test_rest_needs_tls_and_a_token(self, tls_flags: list[str], token_file: str) -> None:
        token = f"--heddle-admin-token-file={token_file}"
        with pytest.raises(SettingsError, match=r"tls-certificate .* and give --heddle-admin-token-file"):
            read(*self.REST)
        with pytest.raises(SettingsError, match=r"whoever reaches it: give --heddle-admin-token-file, or"):
            read(*self.REST, *tls_flags)
        with pytest.raises(SettingsError, match=r"--heddle-tls-certificate and --heddle-tls-key, or"):
            read(*self.REST, token)
        assert read(*self.REST, *tls_flags[:2], token).exposures == ()

    def test_insecure_accepts_and_leaves_one_warning_for_each_risk(self) -> None:
        given = read(*self.OPENFLOW, *self.REST, "--heddle-rest-listen=[2001:db8::1]:80", "--heddle-insecure")
        assert len(given.exposures) == 3
        assert "[2001:db8::1]:80" in given.exposures[2]

    def test_loopback_unix_and_inherited_sockets_are_no_exposure(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            rest = f"127.1.2.3:80,localhost:81,[::1]:82,unix:./api,fd:{listening.fileno()}"
            given = read("--heddle-openflow-listen=[::1]:6653", "--heddle-rest-listen", rest)
            assert given.exposures == ()
            assert given.rest_listen[-1] == InheritedSocket(listening.fileno(), listening.getsockname()[1])
            assert listening.getsockname()[1] in given.cluster.guarded_tcp_ports


class TestTlsFiles:
    """Certificates are tried when they are read, not when the first switch comes."""

    def test_a_key_of_another_certificate(self, tmp_path: Path, tls_flags: list[str]) -> None:
        other = trustme.CA().issue_cert("192.0.2.2")
        other.private_key_pem.write_to_path(tmp_path / "key.pem")
        with pytest.raises(SettingsError, match=r"cert\.pem' is not usable \(KEY_VALUES_MISMATCH\)"):
            read(*tls_flags)

    def test_a_file_that_holds_no_certificate(self, tmp_path: Path, tls_flags: list[str]) -> None:
        (tmp_path / "ca.pem").write_text("nothing")
        with pytest.raises(SettingsError, match=r"--heddle-tls-ca: .*ca\.pem' is not usable"):
            read(*tls_flags)

    def test_an_encrypted_key_is_refused_without_asking(self, tmp_path: Path, tls_flags: list[str]) -> None:
        from cryptography.hazmat.primitives import serialization

        key = serialization.load_pem_private_key((tmp_path / "key.pem").read_bytes(), None)
        encrypted = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
        (tmp_path / "key.pem").write_bytes(encrypted)
        with pytest.raises(SettingsError, match="unencrypted key"):
            read(*tls_flags)


def test_load_makes_ryu_listen_where_our_flags_say(tls_flags: list[str]) -> None:
    conf = parsed("--heddle-openflow-listen=[::1]:7777", *tls_flags)
    given = settings.load(conf)
    assert given.tls is not None
    assert (conf.ofp_listen_host, conf.ofp_tcp_listen_port, conf.ofp_ssl_listen_port) == ("::1", 7777, 7777)
    assert (conf.ctl_cert, conf.ctl_privkey) == (str(given.tls.certificate), str(given.tls.key))
    assert conf.ca_certs == str(given.tls.ca)
    assert settings.load(conf) == given  # what was written into Ryu's options is not mistaken for the user's


def test_load_after_the_command_line_was_parsed_as_stock_ryu_manager_does(tmp_path: Path) -> None:
    (tmp_path / "heddle.ini").write_text("[heddle]\nopenflow_listen = 127.0.0.1:7000\n")
    conf = cfg.ConfigOpts()
    conf.register_cli_opts(RYUS)
    conf(args=["--config-file", "heddle.ini"], project="test", default_config_files=[])
    assert settings.load(conf).openflow_listen.port == 7000
    assert conf.ofp_listen_host == "127.0.0.1"


def test_a_connected_socket_is_no_listening_one() -> None:
    left, right = socket.socketpair()
    with left, right, pytest.raises(ValueError, match="does not listen"):
        listen_at(f"fd:{left.fileno()}")


@given(st.ip_addresses(), st.integers(0, 65535))
def test_an_address_reads_back_from_its_own_text(address: object, port: int) -> None:
    listen = TcpAddress(ip_address(str(address)), port)
    assert listen_at(str(listen)) == listen


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    reading: Callable[[str], object] = listen_at
    try:
        assert isinstance(reading(text), TcpAddress | UnixPath | InheritedSocket)
    except ValueError as error:
        assert str(error)  # noqa: PT017


# --- Kubernetes -------------------------------------------------------------------------------------------------------


def in_a_cluster(token_file: str, *args: str) -> Settings:
    return read("--heddle-kubernetes", f"--heddle-admin-token-file={token_file}", *args)


def test_a_replica_has_a_name_of_its_own_and_says_where_it_is(token_file: str) -> None:
    one, two = (in_a_cluster(token_file).kubernetes for _ in range(2))
    assert one is not None
    assert two is not None
    assert one.replica != two.replica
    assert (one.api_url, one.namespace, one.lease, one.shards) == ("http://127.0.0.1:8080", "heddle-system", 5.0, 8)
    named = in_a_cluster(token_file, "--heddle-replica=one", "--heddle-api-url=https://one.example:8443").kubernetes
    assert named is not None
    assert (named.replica, named.api_url) == ("one", "https://one.example:8443")


def test_what_is_programmed_does_not_depend_on_which_replica_does_it(token_file: str) -> None:
    common = ("--heddle-insecure", "--heddle-control-plane=198.51.100.7")
    one, two = (
        in_a_cluster(
            token_file,
            *common,
            f"--heddle-rest-listen=192.0.2.{host}:8080",
            f"--heddle-openflow-listen=192.0.2.{host}:6653",
        )
        for host in (1, 2)
    )
    assert one.cluster == two.cluster
    assert one.cluster.control_plane == (ip_address("198.51.100.7"),)
    assert one.controllers == ("tcp:192.0.2.1:6653",)


def test_the_store_is_not_a_file_then(token_file: str) -> None:
    assert in_a_cluster(token_file, "--heddle-store=/nowhere/at/all").kubernetes is not None


@pytest.mark.parametrize(
    ("args", "named", "remedy"),
    [
        (["--heddle-replica=Not A Name"], "--heddle-replica: 'Not A Name'", "a DNS name of at most"),
        (["--heddle-lease-seconds=0.1"], "--heddle-lease-seconds: '0.1'", "from 1 to 600"),
        (["--heddle-lease-seconds=soon"], "--heddle-lease-seconds: 'soon'", "from 1 to 600"),
        (["--heddle-shards=0"], "--heddle-shards: '0'", "from 1 to 256"),
        (["--heddle-kubeconfig=/nowhere"], "--heddle-kubeconfig: '/nowhere'", "no such file"),
        (["--heddle-rest-listen=unix:api.sock"], "--heddle-api-url", "listen on a TCP address, or give it"),
        (["--heddle-namespace=Heddle"], "--heddle-namespace: 'Heddle' is no DNS label", "such as heddle-system"),
        (["--heddle-namespace=a.b"], "--heddle-namespace: 'a.b' is no DNS label", "such as heddle-system"),
        (["--heddle-namespace="], "--heddle-namespace: '' is empty", "such as heddle-system"),
        (["--heddle-apiserver="], "--heddle-apiserver: ''", "needed is http:// or https://"),
        (["--heddle-apiserver=192.0.2.10:6443"], "--heddle-apiserver: '192.0.2.10:6443'", "https://192.0.2.10:6443"),
        (["--heddle-apiserver=tcp://192.0.2.10:6443"], "neither http:// nor https://", "needed is http://"),
        (["--heddle-apiserver=https://10.0.0.300"], "'10.0.0.300' is neither an IP address nor", "needed is http://"),
        (["--heddle-apiserver=https://2001:db8::1"], "--heddle-apiserver: 'https://2001:db8::1'", "needed is http://"),
        (["--heddle-apiserver=https://[2001:db8::1"], "--heddle-apiserver: 'https://[2001:db8::1'", "needed is"),
        (["--heddle-apiserver=https://kube:65536"], "--heddle-apiserver: 'https://kube:65536'", "0-65535"),
        (["--heddle-apiserver=https://kube:api"], "--heddle-apiserver: 'https://kube:api'", "needed is http://"),
        (["--heddle-api-url=https://"], "--heddle-api-url: 'https://'", "as in https://192.0.2.10:6443"),
        (["--heddle-api-url=https://one_two"], "'one_two' is neither an IP address nor", "needed is http://"),
        (["--heddle-api-url=https://one:8443/"], "--heddle-api-url: 'https://one:8443/'", "write https://one:8443"),
        (["--heddle-api-url=https://one/v1?x"], "--heddle-api-url: 'https://one/v1?x'", "write https://one"),
        (["--heddle-api-url=https://me:pw@one"], "--heddle-api-url", "write https://one"),
    ],
)  # fmt: skip
def test_a_mistake_about_the_cluster_is_named(token_file: str, args: list[str], named: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as raised:
        in_a_cluster(token_file, *args)
    assert named in str(raised.value)
    assert remedy in str(raised.value)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("https://192.0.2.10:6443", "https://192.0.2.10:6443"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("https://[2001:db8::1]:6443", "https://[2001:db8::1]:6443"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]"),
        ("HTTPS://Kube.Example:8443", "https://kube.example:8443"),
    ],
)
def test_a_server_is_named_by_host_and_port(token_file: str, text: str, taken: str) -> None:
    given = in_a_cluster(token_file, f"--heddle-apiserver={text}", f"--heddle-api-url={text}").kubernetes
    assert given is not None
    assert (given.apiserver, given.api_url) == (taken, taken)


@given(st.text(max_size=30))
def test_any_text_is_a_servers_url_or_an_error_that_names_the_flag(text: str) -> None:
    try:
        assert checks.url(f"https://{text}", "api-url").startswith("https://")
    except SettingsError as error:
        assert "--heddle-api-url" in str(error)  # noqa: PT017


@pytest.mark.parametrize("door", ["rest", "openflow"])
def test_a_controller_on_a_node_port_is_told_which_flags_help(door: str) -> None:
    """Services have these ports on every node, and the controller's own machine may be one."""
    given = read(f"--heddle-{door}-listen=127.0.0.1:30100")
    with pytest.raises(Refused, match=r"30000-32767: include port 30100, .*--heddle-node-ports.*--heddle-rest-listen"):
        admit(empty(), SetCluster(given.cluster))
    for ports in ("none", "31000-32767"):
        other = read(f"--heddle-{door}-listen=127.0.0.1:30100", f"--heddle-node-ports={ports}")
        assert admit(empty(), SetCluster(other.cluster))


def test_replicas_need_a_token_for_each_other() -> None:
    with pytest.raises(SettingsError, match=r"--heddle-kubernetes.*--heddle-admin-token-file"):
        read("--heddle-kubernetes")
