"""OpenFlow 1.5 as Open vSwitch speaks it: bytes from flows, values from bytes. Nothing here knows what a flow is for.

Only this package knows the wire format. `encode` and `messages` make bytes, `decode` reads them, `channel` takes raw
messages off Ryu's connection before Ryu parses them. All but `channel` do without Ryu.
"""
