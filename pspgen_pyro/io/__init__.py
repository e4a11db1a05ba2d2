"""Whole files or nothing, small objects as JSON, and where a number comes from."""
