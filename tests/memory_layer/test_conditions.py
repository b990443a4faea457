from itertools import chain

import numpy as np
import pytest
import torch
from command_line import smoke_jobs
from sections import changed, complete
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from memorization.configuration import ConfigurationError
from memorization.memory_layer import sizes
from memorization.memory_layer.conditions import OF_RUNS, OF_SLOTS, STAGES, MemoryLayer
from memorization.memory_layer.data import kinds
from memorization.memory_layer.model import answer_logits, build
from memorization.models.shape import TRAINING
from memorization.provenance import generator

SECTION = complete("smoke")["memory_layer"]
MEMORY_LAYER = MemoryLayer(SECTION)
DEFAULT = MemoryLayer(complete()["memory_layer"])
HASH_HOP = MemoryLayer(complete("hash_hop")["memory_layer"])
LAST = len(SECTION["conditions"]) - 1  # top_t, which starts from memory
AT = ("conditions", LAST)


@pytest.mark.parametrize("scale", ["smoke", None, "hash_hop"])
def test_every_condition_s_model_has_as_many_parameters_as_its_size_says(scale):
    family = MemoryLayer(complete(scale)["memory_layer"])
    for name in family.names:
        condition, (vocabulary, length, *_) = family.condition(name), family._shape(family.condition(name)["dataset"])
        with torch.device("meta"):
            model = build(condition, vocabulary, length)
        assert family.training_size(name)["parameters"] == sum(each.numel() for each in model.parameters()), name


@pytest.mark.parametrize("name", MEMORY_LAYER.datasets)
def test_a_data_set_is_as_large_as_its_tokens(name):
    data = MEMORY_LAYER.datasets[name]
    arrays = kinds.tokens(kinds.make(data, generator("memory_layer", name, 0, "data")), data)
    vocabulary, length, read, answer = MEMORY_LAYER._shape(name)
    assert (vocabulary, length) == (arrays["vocabulary"], arrays["tokens"].shape[1])
    assert read == np.flatnonzero(arrays["labels"].any(axis=0)).max()
    assert answer == pytest.approx(arrays["labels"].sum(axis=1).mean(), rel=0.2)  # less or more by a space


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("change", [{}, *({"arm": arm} for arm in sizes.ARMS), {"keys": "flat"}, {"gate": False}])
def test_its_flops_are_what_torch_counts_and_the_sums_of_retrieved_values_that_it_does_not(change, layer):
    condition = MEMORY_LAYER.condition("memory") | {"n_layers": 2, "memory_layers": [layer]} | change
    vocabulary, length, answers, texts = 12, 14, 6, 3
    behind = 2  # tokens that nothing is computed for
    model, tokens = build(condition, vocabulary, length + behind), torch.zeros(texts, length + behind).long()
    rows = torch.arange(texts).repeat_interleave(answers)
    columns = torch.arange(length - answers, length).repeat(texts) + 1  # the last token predicts one behind it
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        answer_logits(model, tokens, rows, columns, torch.full((texts,), length + behind))
    positions = answers if layer == 1 else length
    summed = 2 * condition["memory_heads"] * condition["top_k"] * condition["d_model"] * positions
    uncounted = summed if condition["arm"] in sizes.MEMORIES else 0
    flops = sizes.forward_flops(condition, vocabulary, length, answers)
    assert counter.get_total_flops() == texts * (flops - uncounted)


def test_the_flops_of_a_condition_are_those_of_all_its_seeds():
    condition, (vocabulary, _, *shape) = MEMORY_LAYER.condition("memory"), MEMORY_LAYER._shape("pairs")
    size = MEMORY_LAYER.training_size("memory")
    assert size["jobs"] == 2
    assert size["flops"] == 2 * TRAINING * 8 * 8 * sizes.forward_flops(condition, vocabulary, *shape)


def test_what_a_condition_starts_from_is_a_checkpoint_of_the_same_seed():
    last = {"condition": "memory", "seed": 1, "step": 8}
    assert MEMORY_LAYER.pretrained("top_t", 1) == [last]
    assert MEMORY_LAYER.pretrained("memory", 1) == []
    of = {"condition": "memory", "step": 3}
    assert MemoryLayer(changed(SECTION, (*AT, "pretrained"), of)).pretrained("top_t", 1) == [last | {"step": 3}]
    assert MemoryLayer(changed(SECTION, (*AT, "pretrained"), {"path": "x"})).pretrained("top_t", 1) == []


def test_the_workflow_trains_it_first():
    before = "results/memory_layer/checkpoints/memory/seed0/step8.safetensors"
    jobs = [job for job in smoke_jobs() if job.rule.name in ("memory_layer_train", "memory_layer_evaluate")]
    reads = {
        (job.rule.name, job.wildcards.condition) for job in jobs if before in job.input and job.wildcards.seed == "0"
    }
    assert reads >= {("memory_layer_train", "top_t"), ("memory_layer_evaluate", "top_t")}
    assert ("memory_layer_train", "memory") not in reads


def test_figures_and_findings_read_the_runs_that_they_show():
    family, section = DEFAULT, DEFAULT.section
    figures = {figure.name: figure for figure in family.figures}
    assert figures.keys() == section["figures"].keys()
    compared = {name for each in section["comparisons"] for name in each["conditions"]}

    def shown(figure):
        return {run["condition"] for of in figures[figure].inputs().values() for run in of.wildcards}

    assert shown("recall") == shown("loss") == compared
    assert shown("usage") == shown("value_norms") == compared & {*family.with_slots} < compared
    assert shown("logits") == shown("parameters") == {*section["comparisons"][0]["conditions"]}
    for name in ("frequency", "retention", "errors"):
        assert shown(name) == {*section[name]}
    assert len(shown("activations")) == 1
    pooled, findings = family.tables
    every = {*family.evaluations, *chain.from_iterable(STAGES.values())}
    assert {*pooled.files} | {*OF_RUNS} | {"hops"} == every  # chains of hashes stand in config/hash_hop.yaml
    for stage, kinds_of_tables in STAGES.items():
        for kind in {*kinds_of_tables} - {*OF_RUNS}:
            assert {run["condition"] for run in pooled.inputs()[kind].wildcards} == {*family.analysed(stage)}
    for kind in OF_SLOTS:
        assert {run["condition"] for run in pooled.inputs()[kind].wildcards} == {*family.with_slots}
    assert findings.settings().keys() == {"comparisons", "frequency", "retention"}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((*AT, "pretrained"), {"condition": "top_t"}, r"conditions\[top_t\].pretrained: top_t <- top_t is a circle$"),
        (
            ("conditions", 0, "pretrained"),
            {"condition": "top_t"},
            r"conditions\[memory\].pretrained: top_t <- memory <- top_t is a circle$",
        ),
        (
            (*AT, "pretrained"),
            {"condition": "nobody"},
            r"conditions\[top_t\].pretrained.condition: there is no 'nobody'; allowed: memory, frequency, ",
        ),
        (
            (*AT, "pretrained"),
            {"condition": "memory", "step": 9},
            r"conditions\[top_t\].pretrained.step: 9; allowed: 1 to the last of memory, 8$",
        ),
        (
            (*AT, "pretrained"),
            {"condition": "memory", "path": "x"},
            r"conditions\[top_t\].pretrained: allowed: one of condition, path$",
        ),
        ((*AT, "pretrained"), {"step": 3}, r"conditions\[top_t\].pretrained: allowed: one of condition, path$"),
        (
            (*AT, "pretrained"),
            None,
            r"retention: top_t; allowed: conditions with pretrained that train on \[new\]$",
        ),
        (("frequency", 0), "nobody", "frequency: there is no 'nobody'; allowed: memory, "),
        (("retention", 0), "nobody", "retention: there is no 'nobody'"),
        (("errors", 0), "nobody", "errors: there is no 'nobody'"),
        (("comparisons", 0, "conditions", 0), "nobody", r"comparisons\[data\].conditions: there is no 'nobody'"),
        (
            ("conditions", 1, "dataset"),
            "music",
            r"conditions\[frequency\].dataset: there is no 'music'; allowed: pairs, ",
        ),
        (("defaults", "key_dim"), 7, r"conditions\[memory\].key_dim: 7 is odd; allowed: an even number$"),
        (("defaults", "top_k"), 9, r"conditions\[memory\].top_k: 9 is above n_keys; allowed: 2 to 8$"),
        (("defaults", "warmup"), 8, r"conditions\[memory\].warmup: 8; allowed: fewer than steps, 8$"),
        (("defaults", "memory_layers"), [1], r"conditions\[memory\].memory_layers: 1; allowed: -1 to 0$"),
        (("defaults", "memory_layers"), [-2], r"conditions\[memory\].memory_layers: -2; allowed: -1 to 0$"),
        (("conditions", 0, "train_on"), ["novel"], r"conditions\[memory\].train_on: 'novel'; allowed: train, new$"),
        (("conditions", 1, "train_on"), ["new"], r"conditions\[frequency\].train_on: 'new'; allowed: train$"),
        (
            ("conditions", 5, "pretrained"),
            {"path": "x", "step": 3},
            r"conditions\[top_t\].pretrained.step: 3; allowed with condition, not with path$",
        ),
        (
            ("conditions", 5, "pretrained"),
            {"path": "x"},
            r"conditions\[top_t\].pretrained.path: there is no x; allowed",
        ),
        (
            ("conditions", 5, "dataset"),
            "frequencies",
            r"conditions\[top_t\].train_on: 'new'; allowed: train$",
        ),
        (
            ("conditions", 5, "n_keys"),
            9,
            r"conditions\[top_t\].pretrained: memory has another n_keys, 8; allowed without mappings: the same$",
        ),
        (
            ("conditions", 5, "train_on"),
            ["train", "new"],
            r"retention: top_t; allowed: conditions with pretrained that train on \[new\]$",
        ),
        (("errors", 0), "word_problems", "errors: word_problems is of word_problems; allowed: of digit_lookup, "),
        (("frequency", 0), "memory", "frequency: memory is of digit_lookup; allowed: of synthetic_qa$"),
        (("conditions", 5, "arm"), "none", r"conditions\[top_t\].value_update: top_t; allowed with arm none: dense$"),
        (
            ("datasets", 0, "tokenizer"),
            "gpt2",
            r"datasets\[pairs\].tokenizer: 'gpt2'; allowed: characters, a folder with tokenizer.json, or name@commit",
        ),
        (("ablation", "conditions", 0), "nobody", "ablation.conditions: there is no 'nobody'"),
        (("conditions", 1, "arm"), "peer", "ablation.conditions: frequency; allowed: conditions of the arm memory$"),
        (("ablation", "modes"), ["value_zero"], "ablation.modes: slot_mask is missing, which the figure draws$"),
        (("routing", "n_slots"), 3, "routing.n_clusters: 2; allowed: at most half of n_slots, 3$"),
        (("ablation", "max_cut"), 62, "ablation.max_cut: 62; allowed with frequency, of 64 slots: at most 61$"),
        (
            ("ablation", "groups"),
            [1, 62],
            r"ablation.groups: \[1, 62\]; allowed with frequency, of 64 slots: at most 61$",
        ),
        (("intervention", "n_slots"), 65, "intervention.n_slots: 65; allowed with frequency, of 64 slots: at most 64$"),
        (("routing", "n_clusters"), 65, "routing.n_clusters: 65; allowed with frequency"),
        (("defaults", "n_heads"), 3, r"conditions\[memory\].d_model: 16 is not divisible by n_heads, 3$"),
    ],
)
def test_what_cannot_go_together_is_one_line_that_names_the_key(path, value, message):
    with pytest.raises(ConfigurationError, match="^memory_layer." + message) as error:
        MemoryLayer(changed(SECTION, path, value)).check()
    assert "\n" not in str(error.value)


def test_flat_keys_may_be_of_odd_width_and_more_of_them_retrieved_but_not_by_peer():
    flat = changed(SECTION, ("defaults", "keys"), "flat")
    flat = changed(changed(flat, ("ablation", "conditions"), []), ("intervention", "conditions"), [])
    MemoryLayer(changed(changed(flat, ("defaults", "key_dim"), 7), ("defaults", "top_k"), 64)).check()
    with pytest.raises(ConfigurationError, match=r"\[memory\].top_k: 65 is above its slots; allowed: 2 to 64$"):
        MemoryLayer(changed(flat, ("defaults", "top_k"), 65)).check()
    with pytest.raises(ConfigurationError, match=r"\[frequency\].keys: flat; allowed with arm peer: product$"):
        MemoryLayer(changed(flat, ("conditions", 1, "arm"), "peer")).check()


@pytest.mark.parametrize("family", [MEMORY_LAYER, DEFAULT, HASH_HOP], ids=["smoke", "default", "hash_hop"])
def test_the_configuration_that_stands_is_sound(family):
    family.check()


def test_rope_turns_pairs_of_a_head_s_numbers():
    section = changed(changed(SECTION, ("conditions", 1, "positions"), "rope"), ("conditions", 1, "n_heads"), 16)
    with pytest.raises(
        ConfigurationError, match=r"conditions\[frequency\].positions: rope with heads of 1; allowed: of"
    ):
        MemoryLayer(section).check()


@pytest.mark.parametrize("family", [MEMORY_LAYER, HASH_HOP], ids=["smoke", "hash_hop"])
def test_hops_are_counted_of_chains_of_hashes_alone(family):
    pooled, findings = family.tables
    assert {run["condition"] for run in pooled.inputs()["hops"].wildcards} == {"one_hop"}
    assert "hops" in findings.inputs()
    assert "hops" not in DEFAULT.tables[1].inputs()


def test_what_no_condition_is_named_for_is_not_made():
    section = SECTION | {key: [] for key in ("frequency", "retention", "errors")}
    section |= {key: SECTION[key] | {"conditions": []} for key in ("ablation", "intervention", "routing", "attention")}
    family = MemoryLayer(section)
    family.check()
    figures = {figure.name for figure in family.figures}
    assert figures == {"recall", "loss", "logits", "parameters", "usage", "value_norms", "activations"}
    assert all(files.wildcards for table in family.tables for files in table.inputs().values())
