"""A double of the Kubernetes API server: what its API promises about objects and watches, and faults at will.

For tests, demo and measurements without a cluster. Not for anything else: it has no admission, and one user.
"""
