"""How much one trained embedding before a frozen language model holds, and where it is best put."""

FAMILY = "prompt_capacity"  # in the names of random streams
