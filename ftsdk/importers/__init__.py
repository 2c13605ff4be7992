"""Configurations of other tools, converted into a spec."""
