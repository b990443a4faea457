"""Transformers on random sequences that are seen with Zipf frequencies."""
