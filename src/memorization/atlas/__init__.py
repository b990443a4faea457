"""All families on one axis: recall against the number of exposures."""
