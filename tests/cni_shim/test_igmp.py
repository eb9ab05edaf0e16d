"""IGMP: what reports of both versions say, what malformed ones do not, and members over time."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni_shim.errors import ShimError
from cni_shim.node.bridges import IGMP_OFPORT
from cni_shim.node.igmp import Kind, Record, checksum, query, records
from cni_shim.node.members import MOST_GROUPS, STARTUP_QUERIES, Members, Timers
from cni_shim.node.settings import parse
from topology import model

GROUP, OTHER = IPv4Address("239.1.1.1"), IPv4Address("239.1.1.2")
ONE, TWO = IPv4Address("10.128.0.2"), IPv4Address("10.128.0.3")
TIMERS = Timers(interval=100, response=10, robustness=2)


def frame(
    message: bytes, protocol: int = 2, options: bytes = b"\x94\x04\0\0", fragment: int = 0, spoil: int = 0
) -> bytes:
    """Return a frame with an IGMP message, its checksum put right, unless it is spoilt."""
    summed = (checksum(message[:2] + b"\0\0" + message[4:]) + spoil) & 0xFFFF
    message = message[:2] + summed.to_bytes(2, "big") + message[4:]
    length = 20 + len(options)
    head = struct.pack("!BBHHHBBH", 0x40 | length // 4, 0xC0, length + len(message), 0, fragment, 1, protocol, 0)
    return bytes(12) + b"\x08\0" + head + ONE.packed + IPv4Address("224.0.0.22").packed + options + message


def version_3(*said: Record, auxiliary: int = 0) -> bytes:
    body = b"".join(
        struct.pack("!BBH", each.kind, auxiliary, len(each.sources))
        + each.group.packed
        + b"".join(source.packed for source in sorted(each.sources))
        + bytes(4 * auxiliary)
        for each in said
    )
    return struct.pack("!BBHHH", 0x22, 0, 0, 0, len(said)) + body


def version_2(kind: int, group: IPv4Address = GROUP) -> bytes:
    return struct.pack("!BBH", kind, 0, 0) + group.packed


def test_numbers_are_those_of_the_controller() -> None:
    assert IGMP_OFPORT == model.IGMP_OFPORT
    assert MOST_GROUPS == model.MOST_PORT_GROUPS


@pytest.mark.parametrize("options", [b"", b"\x94\x04\0\0"])
def test_version_2(options: bytes) -> None:
    assert records(frame(version_2(0x16), options=options)) == (Record(Kind.CHANGE_TO_EXCLUDE, GROUP),)
    assert records(frame(version_2(0x17), options=options)) == (Record(Kind.CHANGE_TO_INCLUDE, GROUP),)


@given(
    st.lists(
        st.builds(
            Record,
            st.sampled_from(Kind),
            st.integers(0xE0000100, 0xEFFFFFFF).map(IPv4Address),
            st.frozensets(st.integers(1, 2**32 - 1).map(IPv4Address), max_size=5),
        ),
        max_size=6,
    ),
    st.integers(0, 2),
)
def test_version_3_says_what_was_put_into_it(said: list[Record], auxiliary: int) -> None:
    assert records(frame(version_3(*said, auxiliary=auxiliary))) == tuple(said)


@given(st.binary(max_size=120))
def test_whatever_comes_is_read(octets: bytes) -> None:
    for each in records(octets) + records(frame(b"\x22" + octets.ljust(7, b"\0"))):
        assert isinstance(each, Record)


JOIN = version_3(Record(Kind.CHANGE_TO_EXCLUDE, GROUP))


@pytest.mark.parametrize(
    "malformed",
    [
        frame(JOIN, spoil=1),
        frame(JOIN, protocol=17),
        frame(JOIN, fragment=0x2000),
        frame(JOIN, fragment=1),
        frame(JOIN)[:-1],
        frame(JOIN[:7]),
        frame(JOIN[:6] + b"\0\2" + JOIN[8:]),  # fewer records than it says
        frame(JOIN[:10] + b"\0\1" + JOIN[12:]),  # fewer sources
        frame(JOIN[:9] + b"\1" + JOIN[10:]),  # less auxiliary data
        frame(b"\x12" + version_2(0x12)[1:]),  # version 1
        frame(version_2(0x11)),  # a query: a pod asks nobody
        frame(version_2(0x16, IPv4Address("224.0.0.251"))),
        frame(version_2(0x16, IPv4Address("10.0.0.1"))),
        frame(version_3(Record(Kind.CHANGE_TO_EXCLUDE, IPv4Address("224.0.0.251")))),
        frame(JOIN[:8] + b"\7" + JOIN[9:]),  # a type that there is not
        b"",
    ],
)
def test_what_is_malformed_or_reserved_says_nothing(malformed: bytes) -> None:
    assert records(malformed) == ()


@pytest.mark.parametrize(("seconds", "code"), [(1.0, 10), (10.0, 100), (12.8, 0x80), (25.6, 0x90), (3174.4, 0xFF)])
def test_a_query_is_one_for_every_version(seconds: float, code: int) -> None:
    asked = query(b"\x0e\x02\0\0\0\x05", seconds, 2, 125)
    packet, message = asked[14:], asked[38:]
    assert asked[:6] == b"\x0e\x02\0\0\0\x05"
    assert (packet[0], packet[8], packet[9]) == (0x46, 1, 2)
    assert checksum(packet[:24]) == checksum(message) == 0
    assert (packet[12:16], packet[16:20], packet[20:24]) == (bytes(4), b"\xe0\0\0\1", b"\x94\4\0\0")
    assert (message[0], message[1], message[4:8], message[8], message[9]) == (0x11, code, bytes(4), 2, 125)
    assert len(message) == int.from_bytes(packet[2:4], "big") - 24 == 12


# --- members -------------------------------------------------------------------------------------


def members() -> Members:
    made = Members(TIMERS)
    made.attend({"va": 3, "vb": 4}, 0.0)
    return made


def test_who_joins_is_a_member_and_who_leaves_is_none() -> None:
    made = members()
    made.hear(3, records(frame(version_2(0x16))), 1.0)
    made.hear(4, records(frame(version_3(Record(Kind.CHANGE_TO_EXCLUDE, OTHER)))), 1.0)
    made.hear(77, records(frame(version_2(0x16))), 1.0)
    assert made.joined() == {"va": ("239.1.1.1",), "vb": ("239.1.1.2",)}
    made.hear(4, records(frame(version_2(0x17))), 2.0)  # of a group that it is not in
    made.hear(3, records(frame(version_2(0x17))), 2.0)
    assert made.joined() == {"vb": ("239.1.1.2",)}


IS_IN, IS_EX, TO_IN, TO_EX, ALLOW, BLOCK = Kind


@pytest.mark.parametrize(
    ("said", "joined"),
    [
        ([(IS_EX, set())], True),
        ([(TO_EX, {ONE})], True),
        ([(IS_IN, {ONE})], True),
        ([(IS_IN, set())], False),
        ([(TO_EX, set()), (TO_IN, set())], False),
        ([(TO_EX, set()), (TO_IN, {ONE})], True),
        ([(TO_EX, set()), (BLOCK, {ONE})], True),
        ([(TO_EX, set()), (IS_IN, set())], False),
        ([(ALLOW, {ONE})], True),
        ([(ALLOW, set())], False),
        ([(BLOCK, {ONE})], False),
        ([(ALLOW, {ONE, TWO}), (BLOCK, {ONE})], True),
        ([(ALLOW, {ONE, TWO}), (BLOCK, {ONE}), (BLOCK, {TWO})], False),
        ([(IS_IN, {ONE}), (ALLOW, {TWO}), (BLOCK, {ONE})], True),
        ([(IS_IN, {ONE}), (TO_EX, set()), (BLOCK, {ONE})], True),
        ([(ALLOW, {ONE + n for n in range(65)}), (BLOCK, {ONE + n for n in range(65)})], True),  # not told apart
    ],
)
def test_every_kind_of_record(said: list[tuple[Kind, set[IPv4Address]]], joined: bool) -> None:
    made = members()
    for kind, sources in said:
        made.hear(3, (Record(kind, GROUP, frozenset(sources)),), 1.0)
    assert made.joined() == ({"va": ("239.1.1.1",)} if joined else {})


def test_who_does_not_answer_is_forgotten() -> None:
    made = members()
    join = (Record(TO_EX, GROUP),)
    made.hear(3, join, 0.0)
    made.hear(4, join, 0.0)
    made.hear(4, (Record(IS_EX, GROUP),), 150.0)
    made.expire(209.9)
    assert made.joined().keys() == {"va", "vb"}
    made.expire(210.0)  # twice the interval, and once the time for an answer
    assert made.joined().keys() == {"vb"}
    made.expire(360.0)
    assert made.joined() == {}


def test_everybody_is_asked_soon_and_then_again_and_again() -> None:
    made = members()
    asked = []
    for now in range(400):
        asked += [(now, *each) for each in made.due(now / 1.0)]
    assert [each[0] for each in asked if each[1] == 3] == [1, 2, 5, 105, 205, 305]
    assert {each[2] for each in asked[:6]} == {1.0}
    assert {each[2] for each in asked[6:]} == {10.0}
    assert made.next_due(400.0) == 5.0


def test_a_port_that_goes_is_forgotten_and_one_with_another_number_is_not() -> None:
    made = members()
    made.hear(3, (Record(TO_EX, GROUP),), 0.0)
    made.hear(4, (Record(TO_EX, GROUP),), 0.0)
    made.attend({"va": 9}, 50.0)
    assert made.joined() == {"va": ("239.1.1.1",)}
    assert made.due(50.0 + STARTUP_QUERIES[0]) == [(9, 1.0)]
    made.hear(9, (Record(TO_IN, GROUP),), 51.0)
    assert made.joined() == {}


def test_a_port_has_so_many_groups_and_is_told_of_once() -> None:
    made = members()
    said = [Record(TO_EX, GROUP + number) for number in range(MOST_GROUPS + 5)]
    assert made.hear(3, said, 0.0) == "va"
    assert made.hear(3, said, 1.0) is None
    assert len(made.joined()["va"]) == MOST_GROUPS
    made.hear(3, (Record(TO_IN, GROUP), Record(TO_EX, OTHER)), 2.0)
    assert len(made.joined()["va"]) == MOST_GROUPS - 1


# --- settings ------------------------------------------------------------------------------------

SETTINGS = {"node": "n1", "token_file": "/t", "ovs_rundir": "/o", "datapath": "netdev", "state_dir": "/s"}


def test_timers_are_configured() -> None:
    assert parse(SETTINGS).multicast == Timers(125, 10, 2)
    asked = {"interval": 30, "response": 5, "robustness": 3}
    assert parse({**SETTINGS, "multicast": asked}).multicast == Timers(30, 5, 3)
    assert parse({**SETTINGS, "multicast": {"robustness": 3}}).multicast.membership == 385


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"interval": 4}, "interval"),
        ({"interval": "30"}, "interval"),
        ({"response": True}, "response"),
        ({"robustness": 8}, "robustness"),
        ({"interval": 10, "response": 10}, "less than the interval"),
        ({"often": 1}, "interval, response, robustness"),
        ([], "an object"),
    ],
)
def test_timers_that_cannot_be(asked: object, said: str) -> None:
    with pytest.raises(ShimError, match=said):
        parse({**SETTINGS, "multicast": asked})
