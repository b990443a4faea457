"""Mistakes in the section of the family, each one line."""

import pytest
from refusals import model_folder, refusal, smoke

from memorization.configuration import merged
from memorization.families import complete, configured

COMMIT = "0123456789" * 4
LOCAL = smoke()["extraction"]["datasets"][0]
TEXTS = {"name": "mine", "kind": "texts", "repository": f"someone/some@{COMMIT}"}
MODEL = {"name": "pythia", "model": f"someone/model@{COMMIT}", "dataset": "mine", "architecture": "neox"}


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


BAD = {
    "an unknown key": ({"colour": 1}, "colour: unknown key; allowed: attack, conditions, datasets, defaults, "),
    "no condition's key": (condition(width=1), "conditions[a].width: unknown key; allowed: architecture, batch_size, "),
    "no data set's kind": (local(kind="music"), "datasets[local].kind: 'music' is not allowed; allowed: python, texts"),
    "a data set without a kind": (local(without="kind"), "datasets[local].kind: missing"),
    "half a data set": (local(without="per_type"), "datasets[local].per_type: missing"),
    "a key of the other kind": (local(path="a.jsonl"), "datasets[local].path: unknown key; allowed: background, contr"),
    "texts with copies planted": (texts(background=9), "datasets[mine].background: unknown key; allowed: config, copi"),
    "no data type": (local(data_types=["music"]), "datasets[local].data_types[0]: 'music' is not allowed; allowed: co"),
    "fewer tokens than bytes": (
        local(vocabulary=256),
        "datasets[local].vocabulary: 256 is less than the minimum of 257",
    ),
    "copies twice": (local(copies=[1, 1]), "datasets[local].copies: [1, 1] has non-unique elements"),
    "planted never": (local(copies=[0, 1]), "datasets[local].copies[0]: 0 is less than the minimum of 1"),
    "three lengths": (local(lengths=[[8, 4, 1]]), "datasets[local].lengths[0]: [8, 4, 1] is too long"),
    "no suffix": (local(lengths=[[8, 0]]), "datasets[local].lengths[0][1]: 0 is less than the minimum of 1"),
    "all held out": (local(held_out=1), "datasets[local].held_out: 1 is greater than or equal to the maximum of 1"),
    "no architecture": (
        condition(architecture="lstm"),
        "conditions[a].architecture: 'lstm' is not allowed; allowed: n",
    ),
    "no scan": ({"defaults": {"scan": "fast"}}, "defaults.scan: 'fast' is not allowed; allowed: own, mamba_ssm"),
    "precision": (
        {"defaults": {"precision": "int8"}},
        "defaults.precision: 'int8' is not allowed; allowed: float32, bf",
    ),
    "no stage": (
        {"defaults": {"stages": ["all"]}},
        "defaults.stages[0]: 'all' is not allowed; allowed: near_verbatim, ",
    ),
    "no width": ({"defaults": {"d_model": 0}}, "defaults.d_model: 0 is less than the minimum of 1"),
    "text for a rate": ({"defaults": {"learning_rate": "1e-3"}}, "defaults.learning_rate: '1e-3' is text"),
    "a share above 1": ({"attack": {"min_k": 1.5}}, "attack.min_k: 1.5 is greater than the maximum of 1"),
    "frozen": ({"attack": {"temperature": 0}}, "attack.temperature: 0"),
    "no token": ({"attack": {"top_k": 0}}, "attack.top_k: 0 is less than the minimum of 1"),
    "no model's key": (
        model(seeds=3),
        "pretrained[pythia].seeds: unknown key; allowed: architecture, dataset, dtype, ",
    ),
    "no model": ({"pretrained": [{"name": "p", "dataset": "mine"}]}, "pretrained[p].model: missing"),
    "dtype": (
        model(dtype="int8"),
        "pretrained[pythia].dtype: 'int8' is not allowed; allowed: float32, bfloat16, float",
    ),
    "no colours": (
        {"figures": {"map": {"palette": "deep"}}},
        "figures.map.palette: 'deep' is not allowed; allowed: vir",
    ),
    "named twice": ({"conditions": [{"name": "a"}, {"name": "a"}]}, "conditions: named twice: a; names must differ"),
    "both trained and not": (
        {"datasets": [LOCAL, TEXTS], "pretrained": [MODEL | {"name": "neox_s"}]},
        "pretrained: neox_s is a condition too; names must differ",
    ),
    "nothing to attack": ({"conditions": []}, "conditions: there is no model; allowed: one here or in pretrained"),
    "groups": (
        local(per_type=9),
        "datasets[local].per_type: 9; allowed: multiples of 6, for three groups with as many ",
    ),
    "short rows": (local(row_length=23), "datasets[local].row_length: 23; allowed: at least two windows, 24"),
    "a long leak": (local(leak_ngram=13), "datasets[local].leak_ngram: 13; allowed: at most a window, 12"),
    "texts without a tokenizer": (
        {"datasets": [LOCAL, TEXTS]},
        "datasets[mine].tokenizer: none, and no model of pretrained has the data set",
    ),
    "a tokenizer from nowhere": (
        texts(tokenizer="absent"),
        "datasets[mine].tokenizer: 'absent': there is no such folder, and no commit behind a name; allowed: a folder ",
    ),
    "a tokenizer of a branch": (
        texts(tokenizer="someone/some@main"),
        "datasets[mine].tokenizer: 'someone/some@main': allowed: a folder with tokenizer.json, or name@commit of the ",
    ),
    "no room": (
        local(copies=[1, 99]),
        "datasets[local].background: 1200 tokens make 75 rows with the windows, too few for 200 copies, 99 of one ",
    ),
    "rows too full": (
        local(per_type=12, background=100),
        "datasets[local].background: 100 tokens make 11 rows with the windows, too few for 36 copies, 8 of one ",
    ),
    "texts and their token ids": (texts(tokens="ids"), "datasets[mine]: allowed: either text or tokens, the other "),
    "texts from nowhere": (texts(repository=None), "datasets[mine]: allowed: either path or "),
    "texts from two places": (texts(path="a.jsonl"), "datasets[mine]: allowed: either path or "),
    "no file": (
        texts(repository=None, path="absent.jsonl"),
        "datasets[mine].path: absent.jsonl: there is no such file",
    ),
    "no kind of file": (
        texts(repository=None, path="a.txt"),
        "datasets[mine].path: a.txt is none of JSON Lines, CSV and Par",
    ),
    "types of no column": (
        texts(data_types=["code"]),
        "datasets[mine].data_types: needs data_type, the column that te",
    ),
    "no subset": (
        texts(data_type="meta.pile_set_name", data_types=["Arxiv"]),
        "datasets[mine].data_types: 'Arxiv' is not of the Pile; known: ",
    ),
    "a condition's data set": (
        condition(dataset="absent"),
        "conditions[a].dataset: there is no 'absent'; allowed: local",
    ),
    "training on texts": (
        model() | condition(dataset="mine"),
        "conditions[a].dataset: mine is of kind texts; allowed: of kind python",
    ),
    "heads": (condition(n_heads=3), "conditions[a].d_model: 16 is not divisible by n_heads, 3"),
    "half a turn": (
        condition(rotary_share=0.4),
        "conditions[a].rotary_share: turns 3 of a head's 8; allowed: an even number",
    ),
    "long rows": (
        condition(max_length=47),
        "conditions[a].max_length: 47; allowed: at least the row_length of local, 48",
    ),
    "far away": (
        {"interference": {"distances": [0, 53]}},
        "interference.distances: with a window 65 tokens, but neox_m takes at most 64",
    ),
    "a model's data set": (
        {"datasets": [LOCAL], "pretrained": [MODEL]},
        "pretrained[pythia].dataset: there is no 'mine'; allowed: local",
    ),
    "no folder": (model(model="absent"), "pretrained[pythia].model: 'absent': there is no such folder, and no commit "),
    "a branch": (
        model(model="someone/some@main"),
        "pretrained[pythia].model: 'someone/some@main': allowed: a folder w",
    ),
    "an unsaid architecture": (
        model(architecture=None),
        "pretrained[pythia].architecture: missing; allowed: neox, mamba, llama, as config.json says",
    ),
    "smaller than itself": (condition(small="a"), "conditions[a].small: there is no other model 'a'; allowed: a, b"),
    "no smaller one": (condition(small="c"), "conditions[a].small: there is no other model 'c'; allowed: a, b"),
    "no pair": (condition(pair="c"), "conditions[a].pair: there is no other model 'c'; allowed: a, b"),
    "a pair on other data": (
        model() | condition(pair="pythia"),
        "conditions[a].pair: pythia has another dataset; allowed: one of the same",
    ),
    "a smaller one on other data": (
        model(small="b") | condition(),
        "pretrained[pythia].small: b has another dataset; allowed: one of the same",
    ),
    "a smaller one of another kind": (
        {"conditions": [{"name": "a", "small": "b"}, {"name": "b", "architecture": "mamba"}]},
        "conditions[a].small: b is of another architecture; allowed: one of the same",
    ),
    "an unequal pair": (
        condition(pair="b", d_model=24),
        "conditions[a].pair: b has 3312 parameters besides embedding and head, this one 7272; allowed: within 10%",
    ),
    "a map of texts": (
        model(stages=["interference", "map"]),
        "pretrained[pythia].stages: map; allowed of a model from elsewhere: near_verbatim, interference",
    ),
    "a map of another's model": (
        {"pretrained": [MODEL | {"dataset": "local", "stages": ["map"]}]},
        "pretrained[pythia].stages: map; allowed of a model from elsewhere: near_verbatim, interference",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_line(name):
    change, message = BAD[name]
    assert refusal({"extraction": change}).startswith(f"extraction.{message}")


def test_a_distance_may_be_too_far_for_models_that_are_not_asked_for_it():
    """The first model leaves the stage out, so that the second one is named."""
    stages = {"conditions": [{"name": "a", "stages": ["map"]}, {"name": "b"}], "defaults": {"max_length": 48}}
    message = refusal({"extraction": stages | {"interference": {"distances": [37]}}})
    assert message == "extraction.interference.distances: with a window 49 tokens, but b takes at most 48"


def test_a_folder_whose_tokenizer_is_not_the_one_that_its_data_set_names_is_one_line(tmp_path):
    words = {"one": "ab", "other": "ba", "same": "ab"}
    one, other, same = (model_folder(tmp_path / name, of) for name, of in words.items())
    first, second = ({"name": name, "model": path, "dataset": "mine"} for name, path in (("a", one), ("b", other)))
    named = {"datasets": [LOCAL, TEXTS | {"tokenizer": same}], "pretrained": [second]}
    assert refusal({"extraction": named}).startswith(
        f"extraction.pretrained[b].model: its tokenizer gives other ids than {same}, that of the data set mine; allowed"
    )
    own = {
        "datasets": [LOCAL, TEXTS, TEXTS | {"name": "theirs"}],
        "pretrained": [first, second | {"dataset": "theirs"}],
    }
    for change in (own, named | {"pretrained": [first]}):
        configured(complete(merged(smoke(), {"extraction": change})))


@pytest.mark.parametrize(
    ("stages", "kind", "most", "asked"),
    [
        ([], "gpt_neox", 11, 12),
        (["near_verbatim"], "llama", 11, 12),
        (["interference"], "gpt_neox", 23, 24),
    ],
)
def test_a_folder_s_model_takes_as_many_tokens_as_it_is_asked_for(tmp_path, stages, kind, most, asked):
    """Prompts of 12 tokens, at most 12 before them."""
    for name, takes in (("short", most), ("enough", asked)):
        path = model_folder(tmp_path / name, model_type=kind, max_position_embeddings=takes)
        mine = {"name": "p", "model": path, "dataset": "mine", "stages": stages}
        change = {"extraction": {"datasets": [LOCAL, TEXTS | {"lengths": [[4, 4], [8, 4]]}], "pretrained": [mine]}}
        if name == "enough":
            configured(complete(merged(smoke(), change)))
            continue
        message = f"takes at most {most} tokens, but is asked for {asked}; allowed: shorter lengths in the data set, "
        assert refusal(change).startswith(f"extraction.pretrained[p].model: {message}")


def test_mamba_takes_any_number_of_tokens(tmp_path):
    path = model_folder(tmp_path / "model", model_type="mamba", max_position_embeddings=8)
    change = {"datasets": [LOCAL, TEXTS], "pretrained": [{"name": "p", "model": path, "dataset": "mine"}]}
    configured(complete(merged(smoke(), {"extraction": change})))


def test_token_ids_may_stand_for_texts(tmp_path):
    path = tmp_path / "ids.jsonl"
    path.write_text('{"ids": [3, 1, 2]}\n')
    mine = {"name": "mine", "kind": "texts", "path": str(path), "text": None, "tokens": "ids"}
    change = {"extraction": {"datasets": [LOCAL, mine], "pretrained": [MODEL]}}
    extraction = configured(complete(merged(smoke(), change)))["extraction"]
    assert extraction.text_settings("mine")["tokens"] == "ids"
    assert extraction.text_settings("mine")["text"] is None
    mine["tokens"] = "words"
    assert refusal(change) == f"extraction.datasets[mine].tokens: {path} has no 'words'; allowed: ids"


def test_a_column_that_texts_lack_is_named_with_those_that_there_are(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"body": "a", "meta": {"set": "b"}}\n')
    found = refusal({"extraction": texts(repository=None, path=str(path))})
    assert found == f"extraction.datasets[mine].text: {path} has no 'text'; allowed: body, meta, meta.set"
