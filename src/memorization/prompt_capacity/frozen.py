"""A language model that is not trained: what stands before its tokens is."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from memorization.models import pretrained_models
from memorization.models.language_model import LanguageModel, build
from memorization.prompt_capacity.prompting import PAD, Inputs

STATE_SPACES = ("mamba", "mamba2", "falcon_mamba")  # by transformers' names: without attention


class FrozenModel:
    """A causal language model whose weights never change.

    Parameters
    ----------
    model : whose weights are frozen here

    Attributes
    ----------
    embedding : of its tokens, (vocabulary, d_model) float32; ids that its tokenizer has not left out
    begin, end : the tokens that begin and end a text, 0 where the model names none
    """

    def __init__(self, model: LanguageModel):
        self.model, self.vocabulary, self.device = model.model, model.vocabulary, model.device
        self.max_length = model.max_length
        self.model.requires_grad_(False)
        self._table = self.model.get_input_embeddings()
        self.dtype = self._table.weight.dtype
        self.embedding = self._table.weight[: self.vocabulary].float().cpu().numpy()
        self.begin, self.end = (_token(getattr(self.model.config, name)) for name in ("bos_token_id", "eos_token_id"))
        self.has_attention = self.model.config.model_type not in STATE_SPACES

    @property
    def d_model(self) -> int:
        return self.embedding.shape[1]

    @property
    def n_parameters(self) -> int:
        return sum(each.numel() for each in self.model.parameters())

    def digest(self) -> str:
        """A sha256 of all weights, equal before and after a job."""
        found = sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            found.update(name.encode())
            found.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        return found.hexdigest()

    def logits(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Logits of the scored tokens, (n_scored, vocabulary) float32, by rows, and the tokens, (n_scored,).

        Raises
        ------
        ValueError
            If rows are longer than the model takes, or P is masked in a model without attention.
        """
        self._check(inputs)
        first = int(inputs.scored.any(dim=0).nonzero()[0])
        keep = inputs.tokens.shape[1] - first + 1
        of_all = self._forward(inputs, logits_to_keep=keep).logits[:, :-1]
        scored = inputs.scored[:, first:]
        return of_all[scored][..., : self.vocabulary].float(), inputs.tokens[:, first:][scored]

    @torch.no_grad()
    def greedy(self, inputs: Inputs, count: int, end: int | None = None) -> list[list[int]]:
        """The likeliest next tokens in the place of those scored, at most ``count``, up to ``end``, which is left out.

        Parameters
        ----------
        inputs : of which rows what stands before their first scored token is looked at
        count : tokens
        end : the token that ends an answer; None for none

        Raises
        ------
        ValueError
            As ``logits``.
        """
        lengths = (inputs.scored.cumsum(dim=1) == 0).sum(dim=1)
        if self.max_length is not None and int(lengths.max()) + count > self.max_length:
            raise ValueError(
                f"{int(lengths.max())} tokens and {count} that follow, but the model takes at most {self.max_length}"
            )
        self._check(inputs)
        begun = self._cached if self.has_attention else self._uncached
        rows: list[list[int]] = [[] for _ in inputs.tokens]
        ended = [False] * len(rows)
        for tokens in begun(inputs, lengths, count):
            for row, token in enumerate(tokens.tolist()):
                ended[row] |= token == end
                if not ended[row]:
                    rows[row].append(token)
            if all(ended):
                break
        return rows

    def _cached(self, inputs: Inputs, lengths: Tensor, count: int):
        """Tokens one after the other by a cache: rows are moved to the right, so that all end together."""
        width = int(lengths.max())
        shift = width - lengths
        at = torch.arange(width, device=self.device)
        source = (at - shift[:, None]).clamp(min=0)
        real = at >= shift[:, None]
        embeds = inputs.embedded(self._table)
        embeds = embeds.gather(1, source[..., None].expand(-1, -1, embeds.shape[2]))
        moved = inputs.attention(self.dtype)
        smallest = torch.finfo(self.dtype).min
        causal = torch.zeros(width, width, dtype=self.dtype, device=self.device)
        causal = causal.masked_fill(at[:, None] < at, smallest)
        mask = causal.expand(len(real), width, width)
        if moved is not None:
            rows = torch.arange(len(real), device=self.device)[:, None, None]
            mask = moved[:, 0][rows, source[:, :, None], source[:, None, :]].minimum(mask)
        mask = mask.masked_fill(~real[:, None, :], smallest)[:, None]
        out = self.model(
            inputs_embeds=embeds, attention_mask=mask, position_ids=source, use_cache=True, logits_to_keep=1
        )
        known = real.long()
        for n in range(count):
            tokens = out.logits[:, -1, : self.vocabulary].argmax(dim=-1)
            yield tokens
            if n + 1 == count:
                return
            known = F.pad(known, (0, 1), value=1)
            out = self.model(
                input_ids=tokens[:, None],
                attention_mask=known,
                position_ids=(lengths + n)[:, None],
                past_key_values=out.past_key_values,
                use_cache=True,
            )

    def _uncached(self, inputs: Inputs, lengths: Tensor, count: int):
        """Tokens one after the other, the whole text again for each: a Mamba's cache takes no padding."""
        embeds = F.pad(inputs.embedded(self._table), (0, 0, 0, count))
        rows = torch.arange(len(embeds), device=self.device)
        for n in range(count):
            logits = self.model(inputs_embeds=embeds[:, : int(lengths.max()) + n], use_cache=False).logits
            tokens = logits[rows, lengths + n - 1, : self.vocabulary].argmax(dim=-1)
            yield tokens
            embeds[rows, lengths + n] = self._table(tokens)

    def _forward(self, inputs: Inputs, **options):
        embeds = inputs.embedded(self._table)
        if not self.has_attention:
            return self.model(inputs_embeds=embeds, use_cache=False, **options)
        positions = torch.arange(embeds.shape[1], device=self.device)[None].expand(len(embeds), -1)
        mask = inputs.attention(self.dtype)
        return self.model(inputs_embeds=embeds, position_ids=positions, use_cache=False, attention_mask=mask, **options)

    def _check(self, inputs: Inputs) -> None:
        if not self.has_attention and inputs.prompts is not None and bool(inputs.masked.any()):
            raise ValueError("infix_masked: the model has no attention to be masked; allowed: another layout")
        if self.max_length is not None and inputs.tokens.shape[1] > self.max_length:
            raise ValueError(f"{inputs.tokens.shape[1]} tokens with P, but the model takes at most {self.max_length}")


def opened(
    condition: Mapping, states: Sequence[Mapping[str, Tensor]], vocabulary: int, tokenizer: Tokenizer, device: str
) -> FrozenModel:
    """A model that is ready: trained here, or from elsewhere.

    Parameters
    ----------
    condition : settings of ``language_model.build``, or ``model`` and ``dtype`` of ``pretrained_models.load``; and
        ``dataset``
    states : one, the tensors of a model that is trained here; none of one from elsewhere
    vocabulary, tokenizer : of the data set
    device : where it is to be

    Raises
    ------
    ValueError
        If a model from elsewhere cannot be loaded, or its tokenizer gives other ids than the data set's.
    """
    if not states:
        pretrained_models.check_ids(condition["model"], tokenizer, condition["dataset"])
        return FrozenModel(pretrained_models.load(condition["model"], device, condition["dtype"]))
    model = build(condition, vocabulary)
    model.load_state_dict(states[0])
    return FrozenModel(LanguageModel(model.to(device), vocabulary, device))


@contextmanager
def unchanged(
    condition: Mapping, states: Sequence[Mapping[str, Tensor]], vocabulary: int, tokenizer: Tokenizer, device: str
) -> Iterator[FrozenModel]:
    """``opened``, and an error where its weights are others in the end.

    Raises
    ------
    RuntimeError
        If they are.
    """
    model = opened(condition, states, vocabulary, tokenizer, device)
    before = model.digest()
    yield model
    if model.digest() != before:
        raise RuntimeError("the weights of the frozen model have changed")


def _token(found: int | list[int] | None) -> int:
    """A token that a configuration names, the first of several."""
    if isinstance(found, list):
        found = found[0] if found else None
    return found if isinstance(found, int) else 0


def padding(rows: Sequence[np.ndarray]) -> Tensor:
    """Rows of tokens as one tensor, padded behind their ends."""
    tensors = [torch.from_numpy(np.asarray(row, np.int64)) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=PAD)
