"""What is answered when slots are swapped, replaced, or retrieved where they were not."""
