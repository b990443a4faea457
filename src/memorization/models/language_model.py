"""Causal language models of transformers, as what measures them needs them: logits and greedy continuations.

Models built here have a shape alone, and weights that are the same for a seed wherever they are built.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from memorization.models.language_model_size import gated_width
from memorization.models.mamba_mixer import use_scan

ARCHITECTURES = ("neox", "mamba", "llama")


class LanguageModel:
    """A causal language model, in evaluation.

    Parameters
    ----------
    model : of transformers
    vocabulary : how many token ids its tokenizer has. Its embedding may have more, for speed; they are no tokens, and
        logits leave them out
    device : where it is

    Attributes
    ----------
    max_length : the most tokens that it takes; None if any number
    """

    def __init__(self, model: nn.Module, vocabulary: int, device: str = "cpu"):
        self.model, self.vocabulary, self.device = model.eval(), vocabulary, device
        of_mamba = model.config.model_type == "mamba"
        # What a model brings along may stop at an end of text, or make a token less likely that stood before.
        self.model.generation_config = type(self.model.generation_config)()
        self.max_length = None if of_mamba else getattr(model.config, "max_position_embeddings", None)

    @torch.no_grad()
    def logits(self, tokens: Tensor) -> Tensor:
        """Logits of what follows each token, (batch, length) -> (batch, length, vocabulary) float32.

        Whole texts without a cache: transformers' Mamba drops its state in silence where a cache is continued by more
        than one token.

        Raises
        ------
        ValueError
            If the texts are longer than the model takes: GPT-NeoX would go on in silence.
        """
        if self.max_length is not None and tokens.shape[1] > self.max_length:
            raise ValueError(f"texts of {tokens.shape[1]} tokens, but the model takes at most {self.max_length}")
        of_all = self.model(input_ids=tokens.to(self.device), use_cache=False).logits
        return of_all[..., : self.vocabulary].float()

    @torch.no_grad()
    def continue_greedily(self, prefix: Tensor, count: int) -> Tensor:
        """The likeliest next token, ``count`` times: (batch, n) -> (batch, count). It never ends before."""
        prefix = prefix.to(self.device)
        beyond = list(range(self.vocabulary, self.model.config.vocab_size))
        every = self.model.generate(
            input_ids=prefix,
            attention_mask=torch.ones_like(prefix),
            max_new_tokens=count,
            do_sample=False,
            num_beams=1,
            pad_token_id=0,
            suppress_tokens=beyond or None,
        )
        return every[:, prefix.shape[1] :]


def build(shape: Mapping, vocabulary: int, seed: int = 0) -> nn.Module:
    """A model of transformers with new weights.

    Parameters
    ----------
    shape : ``architecture`` (``neox``: GPT-NeoX, Black et al. 2022; ``mamba``: Gu & Dao 2023; ``llama``: Touvron et al.
        2023), ``n_layers``, ``d_model``, ``max_length``, ``init_std``; ``n_heads`` (of neox and llama),
        ``rotary_share`` (of neox), ``state_size`` and ``scan`` (of mamba)
    vocabulary : how many tokens there are
    seed : of its weights

    Raises
    ------
    ValueError
        If the architecture is another.
    """
    from transformers import GPTNeoXForCausalLM, LlamaForCausalLM, MambaForCausalLM

    kinds = {"neox": GPTNeoXForCausalLM, "mamba": MambaForCausalLM, "llama": LlamaForCausalLM}
    settings = config(shape, vocabulary)
    with torch.random.fork_rng(devices=[]):  # transformers draws from the global stream
        torch.manual_seed(seed)
        model = kinds[shape["architecture"]](settings)
    if shape["architecture"] == "mamba":
        use_scan(model, shape["scan"])
    return model


def config(shape: Mapping, vocabulary: int):
    """The configuration of ``build``'s model. What transformers would set differently for them is set alike."""
    from transformers import GPTNeoXConfig, LlamaConfig, MambaConfig

    alike = {
        "vocab_size": vocabulary,
        "hidden_size": shape["d_model"],
        "num_hidden_layers": shape["n_layers"],
        "max_position_embeddings": shape["max_length"],
        "initializer_range": shape["init_std"],
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": None,
        "use_cache": True,
    }
    if shape["architecture"] == "neox":
        sizes = {"num_attention_heads": shape["n_heads"], "intermediate_size": 4 * shape["d_model"]}
        rope = {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": shape["rotary_share"]}
        return GPTNeoXConfig(**alike, **sizes, rope_parameters=rope)
    if shape["architecture"] == "llama":
        sizes = {"num_attention_heads": shape["n_heads"], "intermediate_size": gated_width(shape["d_model"])}
        return LlamaConfig(**alike, **sizes)
    if shape["architecture"] == "mamba":
        return MambaConfig(**alike, state_size=shape["state_size"], use_mambapy=False, use_associative_scan=False)
    raise ValueError(f"architecture: {shape['architecture']!r} is not one of {', '.join(ARCHITECTURES)}")
