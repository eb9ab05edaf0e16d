"""Tests of REST against a controller in memory."""
