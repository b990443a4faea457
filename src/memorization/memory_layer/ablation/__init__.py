"""What is lost when slots, keys, values, layers or attention heads are taken away."""
