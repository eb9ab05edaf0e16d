"""Tests of the heddle command, against a small HTTP server and against the real one."""
