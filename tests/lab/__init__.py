"""Tests of the laboratory, and real packets through the whole of Heddle in it."""
