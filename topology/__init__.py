"""The network as values: what exists (model, snapshot), what switches must hold (features), what differs (compiler).

Pure: the standard library, networkx and immutables only. No Ryu, no sockets, no threads, no clock, no logging:
time, randomness and environment are arguments.
"""
