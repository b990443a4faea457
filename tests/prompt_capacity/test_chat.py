import json
from hashlib import sha256

import numpy as np
import pytest
import torch
from prompt_capacity_small import byte_pairs, words
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from memorization.prompt_capacity import chat
from memorization.prompt_capacity.chat import Format, ask, format_of, place_of_prompt
from memorization.prompt_capacity.prompting import PAD
from memorization.prompt_capacity.questions import Question

CHATTING = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] | trim }}<|eot|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
INSTRUCTED = (  # as Llama 2's: the header is part of the user's turn, and spaces are around the answer
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}[INST] {{ message['content'] }} "
    "[/INST]{% else %} {{ message['content'] }} <|eot|>{% endif %}{% endfor %}"
)
SPECIAL = ["<|begin|>", "<|user|>", "<|assistant|>", "<|eot|>"]
QUESTIONS = [Question("how many are 2 birch?", "2 birch are\n#### 2"), Question(" 日本 ", "#### 1,000")]


@pytest.fixture
def tokenizer():
    found = Tokenizer.from_str(byte_pairs())
    found.add_special_tokens(SPECIAL)
    return found


@pytest.fixture
def folder(tmp_path, tokenizer):
    """``folder(**tokenizer_config)``: a model's folder as transformers writes it."""

    def write(**config):
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<|begin|>"} | config))
        return str(tmp_path)

    return write


@pytest.fixture
def form(folder, tokenizer):
    return lambda template=CHATTING: format_of(folder(chat_template=template), tokenizer, 0)


def conversation(form, question):
    """What transformers makes of the whole conversation, in text and in tokens."""
    whole = PreTrainedTokenizerFast(tokenizer_object=form.tokenizer, chat_template=form.template, bos_token="<|begin|>")
    messages = [
        {"role": "user", "content": f"question: {question.question}"},
        {"role": "assistant", "content": f"answer: {question.answer}"},
    ]
    text = whole.apply_chat_template(messages, tokenize=False)
    return text, whole.apply_chat_template(messages, return_dict=False)


@pytest.mark.parametrize("template", [CHATTING, INSTRUCTED], ids=["headers", "no_header"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_the_parts_are_the_whole_conversation_up_to_the_token_that_ends_it(form, template, question):
    ours = form(template)
    (turn,) = ours.turns([question])
    parts = np.concatenate(turn).tolist()
    text, tokens = conversation(ours, question)
    end = ours.tokenizer.token_to_id("<|eot|>")
    assert parts[-1] == ours.stop == end
    assert parts == tokens[: len(parts)]
    assert end not in tokens[len(parts) :]
    assert ours.tokenizer.decode(parts, skip_special_tokens=False) == text[: text.rindex("<|eot|>") + len("<|eot|>")]


def test_the_parts_are_the_user_s_turn_the_header_and_the_answer(form):
    ours = form()
    (turn,) = ours.turns(QUESTIONS[:1])
    said = [ours.tokenizer.decode(part.tolist(), skip_special_tokens=False) for part in turn]
    assert said[0] == "<|begin|><|user|>\nquestion: how many are 2 birch?<|eot|>\n"
    assert said[1] == "<|assistant|>\n"
    assert said[2] == "answer: 2 birch are\n#### 2<|eot|>"


def test_infix_stands_before_the_header_and_suffix_behind_it(form):
    (turn,) = form().turns(QUESTIONS[:1])
    user, header = len(turn.user), len(turn.header)
    places = {"prefix": 0, "infix": user, "infix_masked": user, "suffix": user + header, 0: 0, 2: 2, user: user}
    assert header > 1
    for layout, place in places.items():
        assert place_of_prompt(turn, layout) == place


def test_a_place_that_a_question_has_not_is_one_line(form):
    (turn,) = form().turns(QUESTIONS[:1])
    n = len(turn.user)
    with pytest.raises(ValueError, match=rf"^layout: P behind {n + 1} tokens, but a question has {n}; allowed: fewer$"):
        place_of_prompt(turn, n + 1)
    with pytest.raises(
        ValueError, match=r"^layout: 'solo' is not one of prefix, infix, infix_masked, suffix, or a num"
    ):
        place_of_prompt(turn, "solo")


@pytest.mark.parametrize("layout", ["prefix", "infix", "infix_masked", "suffix", 3])
def test_a_question_is_asked_with_p_in_it_and_its_answer_scored(form, layout):
    turns = form().turns(QUESTIONS)
    prompts = torch.randn(3, 2, 4)
    inputs = ask(turns, [2, 0], prompts, layout)
    assert inputs.owner.tolist() == [2, 0]
    assert inputs.masked.tolist() == 2 * [layout == "infix_masked"]
    assert inputs.prompts is prompts
    for turn, row, place, scored in zip(turns, inputs.tokens, inputs.place, inputs.scored, strict=True):
        whole = [*turn.user, *turn.header, *turn.answer]
        at = place_of_prompt(turn, layout)
        assert place == at
        n = len(whole) + 2
        assert row[:n].tolist() == [*whole[:at], PAD, PAD, *whole[at:]]
        assert (row[n:] == PAD).all()
        assert row[scored].tolist() == turn.answer.tolist()
        assert scored.nonzero()[0].item() == n - len(turn.answer)


def test_without_p_a_question_is_asked_alone(form):
    turns = form().turns(QUESTIONS)
    inputs = ask(turns, [0, 0], None, "infix")
    assert inputs.prompts is None
    assert not inputs.masked.any()
    for turn, row in zip(turns, inputs.tokens, strict=True):
        whole = np.concatenate(turn).tolist()
        assert row[: len(whole)].tolist() == whole


def test_a_model_without_a_template_reads_lines(folder, tokenizer):
    for ours in (format_of(None, tokenizer, 7), format_of(folder(), tokenizer, 7)):
        assert ours.template is None
        (turn,) = ours.turns(QUESTIONS[:1])
        said = [ours.tokenizer.decode(part.tolist(), skip_special_tokens=False) for part in turn[:2]]
        assert said == ["question: how many are 2 birch?\n", "answer:"]
        assert turn.answer[-1] == ours.stop == 7
        assert ours.tokenizer.decode(turn.answer[:-1].tolist()) == " 2 birch are\n#### 2"


def test_the_template_may_stand_in_a_file_of_its_own(folder, tokenizer, tmp_path):
    path = folder()
    (tmp_path / "chat_template.jinja").write_text(CHATTING)
    assert format_of(path, tokenizer, 0).template == CHATTING


def test_of_several_templates_the_default_one_is_taken(folder, tokenizer):
    every = [{"name": "tools", "template": "tools"}, {"name": "default", "template": CHATTING}]
    assert format_of(folder(chat_template=every), tokenizer, 0).template == CHATTING
    assert format_of(folder(chat_template=every[:1]), tokenizer, 0).template is None


def test_special_tokens_may_be_said_with_what_is_around_them(folder, tokenizer):
    path = folder(chat_template=CHATTING, bos_token={"content": "<|begin|>", "lstrip": False}, eos_token=None)
    ours = format_of(path, tokenizer, 0)
    assert ours.specials == {"bos_token": "<|begin|>"}
    assert ours.turns(QUESTIONS)[0].user[0] == tokenizer.token_to_id("<|begin|>")


def test_a_configuration_that_is_no_json_is_one_line(folder, tokenizer, tmp_path):
    path = folder()
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer_config\.json is no JSON \(") as error:
        format_of(path, tokenizer, 0)
    assert "\n" not in str(error.value)
    (tmp_path / "tokenizer_config.json").write_text("[]")
    assert format_of(path, tokenizer, 0).template is None


def test_a_model_of_the_hub_that_has_no_template_chats_not(monkeypatch, tokenizer, tmp_path):
    """And one that has, does."""
    name, there = "someone/some@" + 40 * "0", tmp_path / "of_hub"
    there.write_text(json.dumps({"chat_template": CHATTING}))

    def hub_file(of, file):
        if file in files:
            return there
        raise ValueError(f"{of}: the hub gives no {file}")

    monkeypatch.setattr(chat, "hub_file", hub_file)
    files = []
    assert format_of(name, tokenizer, 0).template is None
    files = ["tokenizer_config.json"]
    assert format_of(name, tokenizer, 0).template == CHATTING


UNFIT = {
    "a header that is not behind the user's turn": (
        "{% if add_generation_prompt %}<|assistant|>{% endif %}" + CHATTING,
        "the chat template does not put the assistant's header behind the user's turn and the answer behind that",
    ),
    "another header before answers": (
        CHATTING.replace("{% if add", "{% if add_generation_prompt %}now{% endif %}{% if add"),
        "the chat template does not put the assistant's header behind",
    ),
    "no answer": (
        CHATTING.replace("message['content'] | trim", "message['content'] if message['role'] == 'user' else ''"),
        "the chat template does not put the assistant's header behind",
    ),
    "nothing behind an answer": (
        "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}",
        "the chat template has no token behind an answer; allowed: one whose answers end",
    ),
    "a system's turn wanted": (
        "{% if messages[0]['role'] != 'system' %}{{ raise_exception('a system turn\nis missing') }}{% endif %}",
        "the chat template takes no question and answer (a system turn is missing); allowed: one that does",
    ),
    "no template": ("{% if", "the chat template takes no question and answer ("),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_template_that_does_not_fit_is_one_line(form, name):
    template, message = UNFIT[name]
    with pytest.raises(ValueError, match=r"^the chat template .*; allowed: ") as error:
        form(template).turns(QUESTIONS)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_template_that_says_the_date_says_the_same_one_every_day(form):
    ours = form("{{ strftime_now('%d %b %Y') }} " + CHATTING)
    (turn,) = ours.turns(QUESTIONS[:1])
    said = ours.tokenizer.decode(turn.user.tolist(), skip_special_tokens=False)
    assert said.startswith("26 Jul 2024 <|begin|><|user|>")


def test_reading_leaves_the_tokenizer_as_it_is(form):
    ours = form()
    before = sha256(ours.tokenizer.to_str().encode()).hexdigest()
    ours.turns(QUESTIONS)
    assert sha256(ours.tokenizer.to_str().encode()).hexdigest() == before


def test_a_format_of_words_reads_an_empty_question():
    ours = Format(words("?", "question:", "answer:"), None, 2, {})
    (turn,) = ours.turns([Question("", "")])
    assert [part.tolist() for part in turn] == [[1], [2], [2]]
