"""What a language model is called, and from its shape its parameters and what it computes. Knows nothing of torch."""

from collections.abc import Mapping

NAMES = {"gpt_neox": "neox"}  # of architectures, where transformers calls them by another; Pythia's is GPT-NeoX
EXPAND = 2  # d_inner of Mamba, in units of d_model
KERNEL = 4  # of its convolution


def non_embedding(shape: Mapping) -> int:
    """Parameters of ``language_model.build`` without embedding and head.

    Parameters
    ----------
    shape : architecture, n_layers, d_model, state_size
    """
    width, layers = shape["d_model"], shape["n_layers"]
    if shape["architecture"] == "neox":  # qkv, output, two feed-forward maps, their biases, two LayerNorms
        return layers * (12 * width**2 + 13 * width) + 2 * width
    if shape["architecture"] == "llama":  # qkv, output, three feed-forward maps, two RMSNorms
        return layers * (4 * width**2 + 3 * width * gated_width(width) + 2 * width) + width
    inner, state, rank = EXPAND * width, shape["state_size"], time_step_rank(width)
    projections = 2 * inner * width + inner * (rank + 2 * state) + (rank + 1) * inner + inner * width
    return layers * (projections + (KERNEL + 1) * inner + inner * state + inner + width) + width


def parameters(shape: Mapping, vocabulary: int) -> int:
    """All parameters, of embedding and head too, which are not tied."""
    return non_embedding(shape) + 2 * vocabulary * shape["d_model"]


def forward_flops(shape: Mapping, vocabulary: int, length: int) -> int:
    """Floating-point operations of a forward pass on a text: matrix products, and of Mamba the scan.

    Attention is counted over all pairs of positions; of a step of the scan, six operations an entry of the state.
    """
    width, layers = shape["d_model"], shape["n_layers"]
    head = 2 * vocabulary * width
    if shape["architecture"] == "neox":
        return length * (layers * (24 * width**2 + 4 * length * width) + head)
    if shape["architecture"] == "llama":
        return length * (layers * (8 * width**2 + 6 * width * gated_width(width) + 4 * length * width) + head)
    inner, state, rank = EXPAND * width, shape["state_size"], time_step_rank(width)
    maps = 2 * (3 * inner * width + inner * (rank + 2 * state) + rank * inner + KERNEL * inner)
    return length * (layers * (maps + 6 * inner * state) + head)


def gated_width(width: int) -> int:
    """Of Llama's feed-forward layers, whose three maps have about as many parameters as two of four times the width."""
    return -(-8 * width // 3)


def time_step_rank(width: int) -> int:
    """Of Mamba's step sizes, by its width."""
    return -(-width // 16)
