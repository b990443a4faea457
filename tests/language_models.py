"""What several test files count of language models, and compute of them the plain way."""

import numpy as np
import torch
from torch import Tensor, nn


def non_embedding_parameters(model: nn.Module) -> int:
    """How many parameters a model has without its embedding and its head."""
    embeddings = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    return sum(each.numel() for each in model.parameters() if id(each) not in embeddings)


def plain_losses(model: nn.Module, texts: np.ndarray) -> Tensor:
    """Of each token but a text's first, given those before it, one at a time: (texts, length - 1) nats."""
    losses = torch.empty(len(texts), texts.shape[1] - 1, dtype=torch.float64)
    for k, text in enumerate(torch.from_numpy(texts.astype(np.int64))):
        for n in range(1, len(text)):
            logits = model(input_ids=text[None, :n], use_cache=False).logits[0, -1]
            losses[k, n - 1] = -logits.double().log_softmax(-1)[text[n]]
    return losses
