"""The node's part of Heddle: the CNI plugin (`heddle`) and the resident process beside it (`node/`, heddle-node).

Standard library only, and nothing of the other packages: this folder must work when it is copied alone to a node.
"""
