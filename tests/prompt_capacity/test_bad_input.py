"""Mistakes in the section of the family, each one line."""

import pytest
from refusals import model_folder, refusal, smoke

from memorization.configuration import merged
from memorization.families import complete, configured

COMMIT = "0123456789" * 4
SMOKE = smoke()["prompt_capacity"]
LOCAL = SMOKE["datasets"][0]
TEXTS = {"name": "mine", "kind": "texts", "repository": f"someone/some@{COMMIT}"}
MODEL = {"name": "pythia", "model": f"someone/model@{COMMIT}", "dataset": "mine"}
RULE = {"name": "rule", "kind": "rule", "rule": "second", "numbers": 3, "digits": 2}
GSM = {"name": "gsm", "kind": "questions", "repository": f"someone/some@{COMMIT}"}


def local(without=None, **change):
    """The data set, changed."""
    return {"datasets": [{key: value for key, value in (LOCAL | change).items() if key != without}]}


def texts(**change):
    return {"datasets": [LOCAL, TEXTS | change], "pretrained": [MODEL]}


def model(**change):
    return {"datasets": [LOCAL, TEXTS], "pretrained": [MODEL | change]}


def condition(**change):
    """A condition that has another beside it."""
    return {"conditions": [{"name": "a"} | change, {"name": "b"}]}


def task(**change):
    return {"tasks": [RULE, GSM | change]}


BAD = {
    "an unknown key": ({"colour": 1}, "colour: unknown key; allowed: conditions, datasets, defaults, "),
    "no condition's key": (condition(width=1), "conditions[a].width: unknown key; allowed: batch_size, d_model, "),
    "an architecture": (condition(architecture="neox"), "conditions[a].architecture: unknown key; allowed: "),
    "no data set's kind": (local(kind="music"), "datasets[local].kind: 'music' is not allowed; allowed: python, texts"),
    "half a data set": (local(without="tokens"), "datasets[local].tokens: missing"),
    "a key of the other kind": (local(path="a.jsonl"), "datasets[local].path: unknown key; allowed: data_types, exerc"),
    "texts with a corpus": (texts(tokens=9), "datasets[mine].tokens: unknown key; allowed: config, kind, limit, name"),
    "no data type": (local(data_types=["music"]), "datasets[local].data_types[0]: 'music' is not allowed; allowed: co"),
    "fewer tokens than bytes": (
        local(vocabulary=256),
        "datasets[local].vocabulary: 256 is less than the minimum of 257",
    ),
    "nothing held out": (local(held_out=0), "datasets[local].held_out: 0 is less than or equal to the minimum of 0"),
    "exercises alone": (
        local(exercises=1),
        "datasets[local].exercises: 1 is greater than or equal to the maximum of 1",
    ),
    "no rule": ({"tasks": [RULE | {"rule": "sum"}]}, "tasks[rule].rule: 'sum' is not allowed; allowed: first, second"),
    "one number": ({"tasks": [RULE | {"numbers": 1}]}, "tasks[rule].numbers: 1 is less than the minimum of 2"),
    "a rule of a file": (
        {"tasks": [RULE | {"path": "a.jsonl"}]},
        "tasks[rule].path: unknown key; allowed: digits, kind, name, numbers, rule",
    ),
    "no kind of task": (
        {"tasks": [RULE | {"kind": "sums"}]},
        "tasks[rule].kind: 'sums' is not allowed; allowed: rule,",
    ),
    "no layout": (
        {"memorization": {"layouts": ["suffix"]}},
        "memorization.layouts[0]: 'suffix'; allowed: prefix, infix, infix_masked, solo, or a number of tokens of the",
    ),
    "no layout of questions": (
        {"generalization": {"layouts": ["solo"]}},
        "generalization.layouts[0]: 'solo'; allowed: prefix, infix, infix_masked, suffix, or a number of tokens of",
    ),
    "a layout twice": (
        {"memorization": {"layouts": ["infix", "infix"]}},
        "memorization.layouts: ['infix', 'infix'] ha",
    ),
    "no layouts": ({"memorization": {"layouts": []}}, "memorization.layouts: [] "),
    "no method": (
        {"memorization": {"id_method": "numbers"}},
        "memorization.id_method: 'numbers' is not allowed; allowed: ",
    ),
    "no init": (
        {"memorization": {"init": "zeros"}},
        "memorization.init: 'zeros' is not allowed; allowed: embedding_st",
    ),
    "no ID": ({"memorization": {"id_length": 0}}, "memorization.id_length: 0 is less than the minimum of 1"),
    "a perplexity below 1": (
        {"memorization": {"stop_perplexity": 0.9}},
        "memorization.stop_perplexity: 0.9 is less than the minimum of 1",
    ),
    "text for a rate": (
        {"memorization": {"learning_rates": ["1e-3"]}},
        "memorization.learning_rates[0]: '1e-3' is text",
    ),
    "one bit": (
        {"memorization": {"quantization": [32, 1]}},
        "memorization.quantization[1]: 1 is less than the minimum",
    ),
    "a length of nothing": (condition(lengths=[4, 0]), "conditions[a].lengths[1]: 0 is less than the minimum of 1"),
    "no vectors": (condition(prompt_lengths=[]), "conditions[a].prompt_lengths: [] "),
    "no model's key": (model(d_model=3), "pretrained[pythia].d_model: unknown key; allowed: dataset, dtype, lengths, "),
    "no model": ({"pretrained": [{"name": "p", "dataset": "mine"}]}, "pretrained[p].model: missing"),
    "dtype": (
        model(dtype="int8"),
        "pretrained[pythia].dtype: 'int8' is not allowed; allowed: float32, bfloat16",
    ),
    "half precision without the range": (
        model(dtype="float16"),
        "pretrained[pythia].dtype: 'float16' is not allowed; allowed: float32, bfloat16",
    ),
    "no colours": (
        {"figures": {"length": {"palette": "viridis"}}},
        "figures.length.palette: 'viridis' is not allowed; allowed: colorblind, ",
    ),
    "named twice": ({"conditions": [{"name": "a"}, {"name": "a"}]}, "conditions: named twice: a; names must differ"),
    "both trained and not": (
        model(name="llama_64"),
        "pretrained: llama_64 is a condition too; names must differ",
    ),
    "no model at all": ({"conditions": []}, "conditions: there is no model; allowed: one here or in pretrained"),
    "no folder": (model(model="absent"), "pretrained[pythia].model: 'absent': there is no such folder, and no commit "),
    "a branch": (
        model(model="someone/some@main"),
        "pretrained[pythia].model: 'someone/some@main': allowed: a folder w",
    ),
    "a model's data set": (
        {"pretrained": [MODEL]},
        "pretrained[pythia].dataset: there is no 'mine'; allowed: local",
    ),
    "a model on text that is trained on": (
        {"pretrained": [MODEL | {"dataset": "local"}]},
        "pretrained[pythia].dataset: local is of kind python; allowed: of kind texts",
    ),
    "texts without a tokenizer": (
        {"datasets": [LOCAL, TEXTS]},
        "datasets[mine].tokenizer: none, and no model of pretrained has the data set",
    ),
    "a tokenizer from nowhere": (
        texts(tokenizer="absent"),
        "datasets[mine].tokenizer: 'absent': there is no such folder, and no commit behind a name; allowed: a folder ",
    ),
    "texts from nowhere": (
        texts(repository=None),
        "datasets[mine]: allowed: either path or repository, the other null",
    ),
    "texts from two places": (texts(path="a.jsonl"), "datasets[mine]: allowed: either path or repository"),
    "no file": (
        texts(repository=None, path="absent.csv"),
        "datasets[mine].path: absent.csv: there is no such file; allowed: a .jsonl, .csv or .parquet file",
    ),
    "no kind of file": (
        texts(repository=None, path="a.txt"),
        "datasets[mine].path: a.txt is none of JSON Lines, CSV and Parquet; allowed: .jsonl, .csv, .parquet",
    ),
    "exercises of no task": (local(task="sums"), "datasets[local].task: there is no 'sums'; allowed: rule"),
    "exercises of questions": (
        local(task="gsm") | task(),
        "datasets[local].task: gsm is of kind questions; allowed: of kind rule",
    ),
    "questions from nowhere": (task(repository=None), "tasks[gsm]: allowed: either path or repository, the other null"),
    "questions of a branch": (
        task(repository="someone/some@main"),
        "tasks[gsm].repository: 'someone/some@main': allowed: name@commit of the hub, the commit 40 hexadecimal digits",
    ),
    "no task": (condition(task="sums"), "conditions[a].task: there is no 'sums'; allowed: rule"),
    "a model's task": (model(task="sums"), "pretrained[pythia].task: there is no 'sums'; allowed: rule"),
    "a condition's data set": (
        condition(dataset="absent"),
        "conditions[a].dataset: there is no 'absent'; allowed: local",
    ),
    "training on texts": (
        model() | condition(dataset="mine"),
        "conditions[a].dataset: mine is of kind texts; allowed: of kind python",
    ),
    "heads": (condition(n_heads=3), "conditions[a].d_model: 16 is not divisible by twice n_heads, 6"),
    "half a head": (condition(n_heads=16), "conditions[a].d_model: 16 is not divisible by twice n_heads, 32"),
    "long rows": (
        condition(max_length=31),
        "conditions[a].max_length: 31; allowed: at least the row_length of local, 32",
    ),
    "a long text": (
        condition(lengths=[4, 63]),
        "conditions[a]: takes at most 64 tokens, but P, ID and text have 65; allowed: shorter ones",
    ),
    "a long prompt": (
        condition(prompt_lengths=[60]),
        "conditions[a]: takes at most 64 tokens, but P, ID and text have 65; allowed: shorter ones",
    ),
    "a long text to tune with": (
        condition() | {"memorization": {"tuning": SMOKE["memorization"]["tuning"] | {"length": 63}}},
        "conditions[a]: takes at most 64 tokens, but P, ID and text have 65",
    ),
    "a text that grows long": (
        condition(progressive=True, prompt_lengths=[1, 2]) | {"progressive": {"prompt_length": 1, "max_length": 63}},
        "conditions[a]: takes at most 64 tokens, but P, ID and text have 65",
    ),
    "a subspace of more dimensions": (
        condition(progressive=True, prompt_lengths=[2]) | {"progressive": {"rank": 17}},
        "progressive.rank: 17; allowed: null, or at most the d_model of a, 16",
    ),
    "a text that grows from another prompt": (
        condition(progressive=True, prompt_lengths=[1, 4]),
        "conditions[a].prompt_lengths: without 2, progressive.prompt_length; allowed: with it, or progressive: false",
    ),
    "a model's text that grows from another prompt": (
        model(progressive=True, prompt_lengths=[1]),
        "pretrained[pythia].prompt_lengths: without 2, progressive.prompt_length; allowed: with it, or progressive: ",
    ),
    "no rows of a pass": (
        {"generalization": {"batch_rows": 0}},
        "generalization.batch_rows: 0 is less than the minimum of 1",
    ),
    "a place behind the ID": (
        {"memorization": {"layouts": ["prefix", 2]}},
        "memorization.layouts: P behind 2 tokens, but the ID has 1; allowed: 0 to 1",
    ),
    "a place behind the ID of texts that grow": (
        {"memorization": {"id_length": 2}, "progressive": {"layouts": [3]}},
        "progressive.layouts: P behind 3 tokens, but the ID has 2; allowed: 0 to 2",
    ),
    "no learning rate for a layout": (
        {"memorization": {"layouts": ["prefix", 1]}, "progressive": {"layouts": ["infix"]}},
        "progressive.layouts: infix is none of memorization.layouts, whose learning rates it takes; allowed: prefix, "
        "offset1",
    ),
    "not all bits": (
        {"memorization": {"quantization": [16, 4]}},
        "memorization.quantization: [16, 4]; allowed: 32, all bits, among them",
    ),
    "no training": (
        {"generalization": {"epochs": None, "updates": []}},
        "generalization.updates: none, and no epochs; allowed: one of the two",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_line(name):
    change, message = BAD[name]
    assert refusal({"prompt_capacity": change}).startswith(f"prompt_capacity.{message}")


def test_longer_texts_that_grow_are_no_mistake_where_none_grow():
    change = condition(progressive=False) | {"progressive": {"max_length": 63, "rank": 17}}
    configured(complete(merged(smoke(), {"prompt_capacity": change})))


def test_with_one_learning_rate_nothing_is_tuned_and_its_texts_may_be_long():
    tuning = SMOKE["memorization"]["tuning"] | {"length": 63}
    change = condition() | {"memorization": {"learning_rates": [0.1], "tuning": tuning}}
    configured(complete(merged(smoke(), {"prompt_capacity": change})))


@pytest.mark.parametrize("kind", ["gpt_neox", "llama"])
def test_a_folder_s_model_takes_as_many_tokens_as_its_rows_have(tmp_path, kind):
    """P of 3, an ID of 1, a text of 8."""
    sizes = {"prompt_lengths": [2, 3], "lengths": [8, 4]}
    for takes in (11, 12):
        path = model_folder(tmp_path / f"takes_{takes}", model_type=kind, max_position_embeddings=takes)
        change = {"prompt_capacity": model(model=path, **sizes)}
        if takes == 12:
            configured(complete(merged(smoke(), change)))
            continue
        found = refusal(change)
        assert found == (
            "prompt_capacity.pretrained[pythia]: takes at most 11 tokens, but P, ID and text have 12; allowed: shorter "
            "ones"
        )


@pytest.mark.parametrize("key", ["memorization", "progressive", "generalization"])
def test_a_mamba_has_no_attention_to_be_masked(tmp_path, key):
    path = model_folder(tmp_path / "mamba", model_type="mamba", max_position_embeddings=4)
    every = {name: {"layouts": ["prefix", "infix"]} for name in ("memorization", "progressive", "generalization")}
    configured(
        complete(merged(smoke(), {"prompt_capacity": model(model=path) | every}))
    )  # it takes any number of tokens
    every[key] = {"layouts": ["prefix", "infix_masked"]}
    if key == "progressive":
        every["memorization"] = {"layouts": ["prefix", "infix_masked"]}
    found = refusal({"prompt_capacity": model(model=path) | every})
    first = "memorization" if key == "progressive" else key
    assert found == (
        f"prompt_capacity.{first}.layouts: infix_masked, but pythia is a Mamba, without attention to be masked; "
        "allowed: other layouts"
    )


@pytest.mark.parametrize(
    ("columns", "change", "message"),
    [
        ({"body": ["a"]}, {}, "text: {path} has no 'text'; allowed: body"),
        ({"text": ["a"]}, {"text": "body"}, "text: {path} has no 'body'; allowed: text"),
    ],
)
def test_a_column_that_texts_lack_is_named_with_those_that_there_are(tmp_path, columns, change, message):
    path = tmp_path / "mine.csv"
    path.write_text("".join(f"{','.join(row)}\n" for row in ([*columns], *zip(*columns.values(), strict=True))))
    found = refusal({"prompt_capacity": texts(repository=None, path=str(path), **change)})
    assert found == f"prompt_capacity.datasets[mine].{message.format(path=path)}"


def test_questions_need_both_columns(tmp_path):
    path, other = tmp_path / "some.jsonl", tmp_path / "other.jsonl"
    path.write_text('{"question": "a?", "reply": "#### 1"}\n')
    other.write_text('{"question": "a?", "answer": "#### 1"}\n')
    found = refusal({"prompt_capacity": task(repository=None, path=str(path))})
    assert found == f"prompt_capacity.tasks[gsm].answer: {path} has no 'answer'; allowed: question, reply"
    found = refusal({"prompt_capacity": task(repository=None, path=str(other), test_path=str(path))})
    assert found == f"prompt_capacity.tasks[gsm].answer: {path} has no 'answer'; allowed: question, reply"
    for change in ({"path": str(other), "test_path": str(other)}, {"path": str(other)}):
        configured(complete(merged(smoke(), {"prompt_capacity": task(repository=None, **change)})))


def test_a_test_of_its_own_is_of_the_same_kind_of_source(tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text('{"question": "a?", "answer": "#### 1"}\n')
    found = refusal({"prompt_capacity": task(test_path=str(path))})
    assert found == "prompt_capacity.tasks[gsm].test_path: allowed with path alone"
    found = refusal({"prompt_capacity": task(repository=None, path=str(path), test_split="test")})
    assert found == "prompt_capacity.tasks[gsm].test_split: allowed with repository alone"
