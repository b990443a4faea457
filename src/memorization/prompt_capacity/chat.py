"""A question and its answer as a model reads them: by its chat template, or plainly where it has none."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer

from memorization.hub import hub_file
from memorization.prompt_capacity.frozen import padding
from memorization.prompt_capacity.layouts import MASKED, OF_QUESTIONS
from memorization.prompt_capacity.prompting import PAD, Inputs
from memorization.prompt_capacity.questions import Question

USER, HEADER, ASSISTANT = "question: {}", "answer:", "answer: {}"
ANSWER = "\x00the answer\x00"  # in its place while a template is taken apart
TODAY = "{% macro strftime_now(format) %}26 Jul 2024{% endmacro %}"  # to templates that name it; Llama 3's own default


class Turn(NamedTuple):
    """Tokens of the user's turn, of the assistant's header behind it, and of the answer with the token that ends it."""

    user: np.ndarray
    header: np.ndarray
    answer: np.ndarray


@dataclass(frozen=True)
class Format:
    """How a model reads questions.

    Attributes
    ----------
    tokenizer : of the model
    template : its chat template, Jinja; None: plain text, ``question: …``, a line, ``answer: …``
    end : the token that ends an answer in plain text
    specials : what a template may name, such as ``bos_token``
    """

    tokenizer: Tokenizer
    template: str | None
    end: int
    specials: dict[str, str]

    def turns(self, questions: Sequence[Question]) -> list[Turn]:
        """The tokens of questions, each part by itself, so that P can stand between any two."""
        return [self._turn(each) for each in questions]

    @property
    def stop(self) -> int:
        """The token that ends an answer."""
        return int(self._turn(Question("", "")).answer[-1])

    def _turn(self, question: Question) -> Turn:
        if self.template is None:
            parts = f"{USER.format(question.question)}\n", HEADER, f" {question.answer}"
            user, header, answer = map(self._tokens, parts)
            return Turn(user, header, np.append(answer, self.end))
        user = {"role": "user", "content": USER.format(question.question)}
        asked = self._rendered([user], False)
        begun = self._rendered([user], True)
        whole = self._rendered([user, {"role": "assistant", "content": ANSWER}], False)
        if not (begun.startswith(asked) and whole.startswith(begun) and ANSWER in whole[len(begun) :]):
            raise ValueError(
                "the chat template does not put the assistant's header behind the user's turn and the answer behind "
                "that; allowed: a model whose template does, or one without"
            )
        before, _, after = whole[len(begun) :].partition(ANSWER)
        closing = self._tokens(after.lstrip())[:1]
        if not len(closing):
            raise ValueError("the chat template has no token behind an answer; allowed: one whose answers end")
        space = after[: len(after) - len(after.lstrip())]
        answer = self._tokens(before + ASSISTANT.format(question.answer) + space)
        return Turn(self._tokens(asked), self._tokens(begun[len(asked) :]), np.append(answer, closing))

    def _tokens(self, text: str) -> np.ndarray:
        return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, np.int64)

    @cached_property
    def _chatting(self):
        """The tokenizer as transformers has it, which copies it."""
        from transformers import PreTrainedTokenizerFast

        template = f"{TODAY}{self.template}" if "strftime_now" in self.template else self.template
        return PreTrainedTokenizerFast(tokenizer_object=self.tokenizer, chat_template=template, **self.specials)

    def _rendered(self, messages: list[dict], header: bool) -> str:
        try:
            return self._chatting.apply_chat_template(messages, tokenize=False, add_generation_prompt=header)
        except Exception as error:  # of Jinja, or the template's own
            why = " ".join(str(error).split())[:200]
            raise ValueError(
                f"the chat template takes no question and answer ({why}); allowed: one that does"
            ) from error


def format_of(model: str | None, tokenizer: Tokenizer, end: int) -> Format:
    """How a model reads questions, as its folder or the hub says.

    Parameters
    ----------
    model : a folder or ``name@commit``; None for a model that is trained here, which has no template
    tokenizer : of the model
    end : the token that ends a text

    Raises
    ------
    ValueError
        If ``tokenizer_config.json`` is there and no JSON.
    """
    found = _tokenizer_config(model) if model else {}
    template = found.get("chat_template")
    if isinstance(template, list):  # several by name
        template = next((each["template"] for each in template if each.get("name") == "default"), None)
    if template is None and model:
        template = _text_of(model, "chat_template.jinja")
    names = ("bos_token", "eos_token", "pad_token", "unk_token")
    given = {name: found[name] for name in names if found.get(name)}
    specials = {name: each["content"] if isinstance(each, dict) else each for name, each in given.items()}
    return Format(tokenizer, template, end, specials)


def _tokenizer_config(model: str) -> dict:
    text = _text_of(model, "tokenizer_config.json")
    try:
        found = json.loads(text) if text is not None else {}
    except ValueError as error:
        raise ValueError(f"{model}: tokenizer_config.json is no JSON ({error})") from error
    return found if isinstance(found, dict) else {}


def _text_of(model: str, file: str) -> str | None:
    """A file of a model; None where it has no such file."""
    if Path(model).is_dir():
        path = Path(model) / file
        return path.read_text("utf-8") if path.is_file() else None
    try:
        return hub_file(model, file).read_text("utf-8")
    except ValueError:  # the hub has none: not every model chats
        return None


def place_of_prompt(turn: Turn, layout: str | int) -> int:
    """How many tokens stand before P.

    Parameters
    ----------
    turn : of a question
    layout : ``prefix``, before the user's turn; ``infix`` and ``infix_masked``, behind it, before the assistant's
        header; ``suffix``, behind the header; or a number of tokens of the user's turn

    Raises
    ------
    ValueError
        If the layout is none of these, or a user's turn is shorter than the number.
    """
    if isinstance(layout, int):
        if layout > len(turn.user):
            raise ValueError(f"layout: P behind {layout} tokens, but a question has {len(turn.user)}; allowed: fewer")
        return layout
    places = {"prefix": 0, "infix": len(turn.user), MASKED: len(turn.user)}
    places["suffix"] = len(turn.user) + len(turn.header)
    if layout not in places:
        raise ValueError(f"layout: {layout!r} is not one of {', '.join(OF_QUESTIONS)}, or a number of tokens")
    return places[layout]


def ask(turns: Sequence[Turn], owner: Sequence[int], prompts: torch.Tensor | None, layout: str | int) -> Inputs:
    """Questions with P in each, and their answers, which are scored.

    Parameters
    ----------
    turns : of the questions
    owner : which prompt each has
    prompts : (n_prompts, k, d_model); None for none
    layout : see ``place_of_prompt``
    """
    rows, places, starts = [], [], []
    room = np.full(0 if prompts is None else prompts.shape[1], PAD)
    for turn in turns:
        place = 0 if prompts is None else place_of_prompt(turn, layout)
        before = np.concatenate([turn.user, turn.header])
        rows.append(np.concatenate([before[:place], room, before[place:], turn.answer]))
        places.append(place)
        starts.append(len(before) + len(room))
    tokens = padding(rows)
    at = torch.arange(tokens.shape[1])
    lengths = torch.tensor([len(row) for row in rows])
    return Inputs(
        prompts=prompts,
        tokens=tokens,
        place=torch.tensor(places),
        owner=torch.tensor(list(owner)),
        masked=torch.full((len(rows),), layout == MASKED),
        scored=(at >= torch.tensor(starts)[:, None]) & (at < lengths[:, None]),
    )
