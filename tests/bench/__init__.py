"""Tests of the benchmarks' own logic. Nothing here is timed."""
