"""Tests of the whole project, one folder per package."""
