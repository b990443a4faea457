"""Modular arithmetic, from memorizing to generalizing, seen in the spectrum of training."""
