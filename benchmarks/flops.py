"""What a transformer computes, counted from its shape, and how fast devices could do it at best."""

TRAINING = 3  # passes that a training step costs: the backward pass is twice the forward one
PEAK = {  # of vendors' data sheets: TFLOP/s of products in float32 without TF32, and in bfloat16 without sparsity
    "NVIDIA H200": (67, 989),
    "NVIDIA H100 80GB HBM3": (67, 989),
    "NVIDIA H100 PCIe": (51, 756),
    "NVIDIA A100-SXM4-80GB": (19.5, 312),
    "NVIDIA A100-SXM4-40GB": (19.5, 312),
    "NVIDIA A100 80GB PCIe": (19.5, 312),
    "NVIDIA L40S": (91.6, 362),
}


def transformer_flops(condition: dict, length: int) -> int:
    """Floating-point operations of a forward pass on one sequence, its *model FLOPs*.

    Matrix products alone, a multiplication and an addition each. As in Chowdhery et al. 2022 (PaLM), appendix B,
    attention is counted over all pairs of positions, also those that the causal mask leaves out; embeddings are
    looked up and cost nothing.

    Parameters
    ----------
    condition : architecture, n_layers, d_model, as ``zipf.models.build`` takes them
    length : of the sequence, in tokens
    """
    n_layers, d_model = condition["n_layers"], condition["d_model"]
    # qkv 3, output 1 (but in an attention alone), feed-forward 2 · 4
    maps = 11 if condition["architecture"] == "one_layer_attention" else 12
    attention = 2 * length * d_model  # queries with keys, shares with values
    return 2 * length * (n_layers * (maps * d_model**2 + attention) + 2 * d_model)  # the head tells 0 from 1
