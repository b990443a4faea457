"""The models of the family: the decoder, and a single attention layer without a residual stream."""

import torch
from torch import Tensor, nn

from memorization.models.decoder import CausalSelfAttention, Decoder, FeedForward
from memorization.training.freezing import matching

BOS = 2  # begins each input, so that the first bit is predicted too; never predicted itself
PARTS = {  # what is frozen or swapped, by patterns of parameters' names
    "attention_qkv": ["*attention.qkv"],
    "attention": ["*attention."],
    "mlp": ["*feed_forward."],
    "mlp_head": ["*feed_forward.", "head."],
}


class OneLayerAttention(nn.Module):
    """Embeddings → one causal attention → LayerNorm → ReLU feed-forward → head, nothing added around any.

    No residual stream and no output projection: what the head reads is a function of one attention's
    mixture alone. Weights start as N(0, init_std²), biases at 0.

    Parameters
    ----------
    vocabulary, n_outputs, max_length, n_heads, d_model : as in ``Decoder``
    init_std : standard deviation of all weights at the start but for LayerNorm's, which are 1
    """

    def __init__(self, vocabulary: int, n_outputs: int, max_length: int, n_heads: int, d_model: int, init_std: float):
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, d_model)
        self.position_embedding = nn.Embedding(max_length, d_model)
        self.attention = CausalSelfAttention(n_heads, d_model, max_length, rope=False, bias=True, output=False)
        self.norm = nn.LayerNorm(d_model)
        self.feed_forward = FeedForward(d_model, 4 * d_model, "relu", bias=True)
        self.head = nn.Linear(d_model, n_outputs)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith(".bias"):
                    parameter.zero_()
                elif not name.startswith("norm."):
                    parameter.normal_(0, init_std)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the next token: (batch, length) int64 -> (batch, length, n_outputs)."""
        x = self.token_embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]
        return self.head(self.feed_forward(self.norm(self.attention(x))))


def build(condition: dict, length: int) -> nn.Module:
    """The model of a condition, for sequences of ``length`` bits, from torch's global random stream."""
    size = {"vocabulary": 3, "n_outputs": 2, "max_length": length}
    size |= {key: condition[key] for key in ("n_heads", "d_model", "init_std")}
    if condition["architecture"] == "one_layer_attention":
        return OneLayerAttention(**size)
    return Decoder(**size, n_layers=condition["n_layers"], positions=condition["positions"])


def frozen(model: nn.Module, mode: str) -> list[str]:
    """Patterns of what a condition freezes: ``none``, a part in ``PARTS``, or ``all_but_mlp``."""
    if mode == "all_but_mlp":
        mlp = matching(model, PARTS["mlp"])
        return [name for name, _ in model.named_parameters() if name not in mlp]
    return [] if mode == "none" else PARTS[mode]


def with_bos(sequences: Tensor) -> Tensor:
    """A model's input: BOS, then all bits but the last. (batch, length) of 0 and 1 -> int64, same shape."""
    return nn.functional.pad(sequences[:, :-1].long(), (1, 0), value=BOS)
