"""How many parameters a model has and what it computes, counted from its shape. Knows nothing of torch."""

TRAINING = 3  # forward passes that a training step costs: the backward pass is twice the forward one


def decoder_parameters(
    vocabulary: int,
    n_outputs: int,
    max_length: int,
    n_layers: int,
    d_model: int,
    positions: str = "learned",
    norm: str = "before",
    bias: bool = True,
    d_ff: int | None = None,
) -> int:
    """Parameters of ``decoder.Decoder`` with the same arguments."""
    d_ff = d_ff or 4 * d_model
    biases = 5 * d_model + d_ff if bias else 0  # qkv 3, output 1, feed-forward d_ff and 1
    layer = 4 * d_model**2 + 2 * d_model * d_ff + biases + 4 * d_model  # two LayerNorms
    embeddings = (vocabulary + (max_length if positions == "learned" else 0)) * d_model
    head = n_outputs * (d_model + bias) + (2 * d_model if norm == "before" else 0)
    return embeddings + n_layers * layer + head


def decoder_flops(n_outputs: int, length: int, n_layers: int, d_model: int, maps: float = 12) -> int:
    """Floating-point operations of a forward pass on one sequence, its *model FLOPs*.

    Matrix products alone, a multiplication and an addition each. As in Chowdhery et al. 2022 (PaLM), appendix B,
    attention is counted over all pairs of positions, also those that the causal mask leaves out; embeddings are
    looked up and cost nothing.

    Parameters
    ----------
    n_outputs, n_layers, d_model : as ``decoder.Decoder`` takes them
    length : of the sequence, in tokens
    maps : linear maps of a layer, in units of d_model²: qkv 3, output 1, feed-forward 2 · 4
    """
    attention = 2 * length * d_model  # queries with keys, shares with values
    return 2 * length * (n_layers * (maps * d_model**2 + attention) + n_outputs * d_model)
