"""Tests of the store: what comes back is what went in, whatever happens in between."""
