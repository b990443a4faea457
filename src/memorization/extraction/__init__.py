"""How much training text can be extracted from Mamba and from GPT-NeoX, given the beginning of it."""
