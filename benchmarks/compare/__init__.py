"""Ours against the usual way, measured side by side in one process: see benchmarks/speed.py."""
