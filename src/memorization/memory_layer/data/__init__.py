"""The family's data sets: facts of numbers, of names and of hashes, and arithmetic in words."""
