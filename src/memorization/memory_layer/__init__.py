"""A decoder with a trainable key-value memory: which key holds which fact, and what is lost when it is touched."""
