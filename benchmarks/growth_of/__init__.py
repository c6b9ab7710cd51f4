"""What benchmarks/growth.py measures, a size in a process of its own."""
