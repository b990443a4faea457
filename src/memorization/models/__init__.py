"""Models that several families share."""
