"""What benchmarks/recipes.py does with one setting."""
