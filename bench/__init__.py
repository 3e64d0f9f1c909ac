"""Benchmarks: `python -m bench` from the root of the repository (see __main__.py)."""
