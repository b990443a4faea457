"""What several test files count of language models."""

from torch import nn


def non_embedding_parameters(model: nn.Module) -> int:
    """How many parameters a model has without its embedding and its head."""
    embeddings = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    return sum(each.numel() for each in model.parameters() if id(each) not in embeddings)
