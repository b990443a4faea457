"""Training that several families share."""
