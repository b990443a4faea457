"""How much a training step of a decoder computes: what its speed on a device is measured against."""


def decoder_training_flops(n_layers: int, d_model: int, n_outputs: int, length: int, d_ff: int | None = None) -> int:
    """Floating-point operations of forward and backward pass on one sequence, its *model FLOPs*.

    Matrix products alone, a multiplication and an addition each, the backward pass counted as twice the forward one.
    As in Chowdhery et al. 2022 (PaLM), appendix B, attention is counted over all pairs of positions, also those that
    the causal mask leaves out; embeddings are looked up and cost nothing.

    Parameters
    ----------
    n_layers, d_model, n_outputs, d_ff : as in ``decoder.Decoder``
    length : of the sequence, in tokens
    """
    linear = 4 * d_model**2 + 2 * d_model * (d_ff or 4 * d_model)  # qkv and output; up and down
    attention = 2 * length * d_model  # queries with keys, shares with values
    return 3 * 2 * length * (n_layers * (linear + attention) + d_model * n_outputs)
