"""A Ryu application for tests: takes its settings as the controller does, and tells what happens as JSON lines.

It is started by the launcher or by Ryu's own manager as `tests.ryu_apps.recorder`; each line has the key "event".
"""

from __future__ import annotations

import json
import sys
from typing import Any, ClassVar

from ryu_apps import compat, settings

# isort: split
from ryu.base.app_manager import RyuApp
from ryu.controller import ofp_event
from ryu.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.ofproto import ofproto_v1_5


def tell(event: str, **what: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **what}) + "\n")
    sys.stdout.flush()


class Recorder(RyuApp):
    """Adds groups and a flow to each switch, and tells what the switch then says it has."""

    OFP_VERSIONS: ClassVar[list[int]] = [ofproto_v1_5.OFP_VERSION]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        read = settings.load(self.CONF)
        tell("settings", openflow=str(read.openflow_listen), store=read.store.name, repairs=len(tuple(compat.REPAIRS)))

    def start(self) -> None:
        super().start()
        tell("start")

    def close(self) -> None:
        tell("close")

    def accept_switch(self, dpid: int, address: str) -> bool | str:
        return dpid < 0x100 or f"{address} is a stranger"

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def state_changed(self, event: Any) -> None:
        datapath = event.datapath
        tell("state", state=event.state, dpid=datapath.id, address=datapath.address[0])
        if event.state == MAIN_DISPATCHER:
            self._write(datapath)
            datapath.send_msg(datapath.ofproto_parser.OFPGroupDescStatsRequest(datapath))
            datapath.send_msg(datapath.ofproto_parser.OFPFlowDescStatsRequest(datapath))

    @staticmethod
    def _write(datapath: Any) -> None:
        ofproto, parser = datapath.ofproto, datapath.ofproto_parser
        for number in (1, 2):
            buckets = [
                parser.OFPBucket(bucket, [parser.OFPActionOutput(bucket)], [
                    parser.OFPGroupBucketPropWeight(type_=ofproto.OFPGBPT_WEIGHT, length=8, weight=10 * bucket)])
                for bucket in (1, 2)
            ]  # fmt: skip
            datapath.send_msg(
                parser.OFPGroupMod(datapath, ofproto.OFPGC_ADD, ofproto.OFPGT_SELECT, number, buckets=buckets)
            )
        terms = [("eth_type", 0x86DD), ("ip_proto", 58), ("icmpv6_type", 136), ("icmpv6_code", 0)]
        match = parser.OFPMatch(_ordered_fields=[*terms, ("nd_reserved", 1), ("nd_options_type", 2)])
        datapath.send_msg(parser.OFPFlowMod(datapath, table_id=0, priority=7, match=match, instructions=[]))

    @set_ev_cls(ofp_event.EventOFPGroupDescStatsReply, MAIN_DISPATCHER)
    def groups_read(self, event: Any) -> None:
        groups = {
            one.group_id: [[b.bucket_id, b.actions[0].port, [p.weight for p in b.properties]] for b in one.buckets]
            for one in event.msg.body
        }
        tell("groups", dpid=event.msg.datapath.id, groups=groups)

    @set_ev_cls(ofp_event.EventOFPFlowDescStatsReply, MAIN_DISPATCHER)
    def flows_read(self, event: Any) -> None:
        matches = [dict(flow.match.items()) for flow in event.msg.body]
        tell("flows", dpid=event.msg.datapath.id, matches=matches)
