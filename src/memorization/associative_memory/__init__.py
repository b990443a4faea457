"""A dense associative memory that predicts the next bit of the sequences that it has stored."""
