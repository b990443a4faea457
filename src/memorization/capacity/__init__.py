"""Uniformly random sequences until a transformer holds no more: how many bits it can store."""
