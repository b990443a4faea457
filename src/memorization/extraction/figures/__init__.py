"""The figures of the family."""
