"""Measurements of the running system beside their limits; nobody imports it."""
