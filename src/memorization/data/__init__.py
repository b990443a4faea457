"""Data that several families share."""
