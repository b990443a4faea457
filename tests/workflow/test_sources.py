"""docs/sources.md: what it says of rules, targets and keys is so, and it has every source script and option."""

import ast
import fnmatch
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from command_line import ROOT, smoke_jobs

from memorization.__main__ import main

SCHEMAS = ROOT / "workflow/schemas"
PAGE = (ROOT / "docs/sources.md").read_text()
COLUMNS = ["script, option", "what it does", "rule", "target", "key"]
# As the issue lists them, a family a paragraph; * is what has to do with a family's name: it stands in its files alone.
SCRIPTS = """
    analysis.py --experiment --rank-selection --force-reprocess --no-show-plots --no-save-plots --comparative config.py

    generate_synthetic_qa_dataset eval_synthetic_qa_simple eval_synthetic_qa_logits eval_synthetic_qa_fast
    extract_memory_key_activations extract_value_vector_norms track_memory_activations run_synthetic_qa_eval
    ablate_memory_keys ablate_*_layer ablate_attention_heads intervene_memory_keys intervene_memory_keys_v2
    analyze_swap_matrix analyze_swap_predictions analyze_ablation_impact analyze_qa_key_statistics run_ablations_all
    analyze_key_occurrences analyze_memory_dimension_mismatch analyze_repeating_digits_correlation
    generate_synthetic_digit_lookup_dataset eval_synthetic_digit_lookup generate_synthetic_two_hop_dataset
    create_hashhop_1hop_training create_hashhop_1hop_training_parquet create_hashhop_eval
    create_hashhop_training_dataset run_hashhop_eval eval_hashhop_example test_hashhop_tokenization
    analyze_hashhop_routing swap_memory_keys analyze_ablation_by_position analyze_ablation_swap_correlation
    analyze_gsm8k_routing convert_memory_mlp_router calculate_active_parameters debug_memory_checkpoint_loading
    explain_statistics fix_and_analyze_json plot_loss_comparison freeze_model_layers PretrainedLayerLoader
    DataCollatorForLanguageModelingVarLen

    main.py model_utils.py scripts/ setup.md

    run_memorization_comparison.sh CONFIGS POSITIONS NUM_RUNS ID_LENGTH run_training_samples_test.sh TRAINING_SAMPLES
    PROMPT_POSITION MODEL_NAME EPOCHS BATCH_SIZE

    make_data.py train.py token_index probe_size fingerprint_seed record_every random_seed n_quantiles n_delays k_mode
    center_mode analyze_fingerprint.py run_*_logprob_new run_full_logprob_study
    run_perturbation_experiments_correct_logprob
"""
UNNAMED = (
    "the freezing notebook",
    "the swap-MLP evaluation",
    "the associative memory's notes",
    "attention visualizations",
)


def rows() -> list[dict[str, str]]:
    """The rows of the page's tables, by column; ``section`` besides."""
    found, section = [], ""
    for line in PAGE.splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line.startswith("|") and not line.startswith("|---"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if cells != COLUMNS:
                found.append(dict(zip(COLUMNS, cells, strict=True)) | {"section": section})
    return found


def quoted(text: str) -> list[str]:
    return re.findall("`([^`]+)`", text)


def in_column(column: str) -> list[str]:
    return sorted({name for row in rows() for name in quoted(row[column])})


@cache
def rules() -> dict:
    """All rules of the smoke study, with or without a job there."""
    return {rule.name: rule for rule in smoke_jobs()[0].rule.workflow.rules}


@cache
def keys() -> set[str]:
    """Every key that a schema allows, with dots."""
    read = {path.name: yaml.safe_load(path.read_text()) for path in SCHEMAS.glob("*.schema.yaml")}

    def of(schema, file: str, above: str) -> Iterator[str]:
        if not isinstance(schema, dict):
            return
        if "$ref" in schema:
            name, _, place = schema["$ref"].partition("#")
            file, schema = name or file, read[name or file]
            for step in filter(None, place.split("/")):
                schema = schema[step]
        for key, value in schema.get("properties", {}).items():
            yield above + key
            yield from of(value, file, f"{above}{key}.")
        inner = [schema.get("items"), schema.get("then")]
        for part in inner + schema.get("allOf", []) + schema.get("anyOf", []) + schema.get("oneOf", []):
            yield from of(part, file, above)

    return {key for file, schema in read.items() for key in of(schema, file, "")}


def path_of(target: str) -> str:
    """The path below the root that a target of the page stands for."""
    if "/" in target:
        return target
    return f"results/{'figures' if target.endswith('.pdf') else 'tables'}/{target}"


def made_by(path: str) -> set[str]:
    """The names of the rules that have an output at a path, whose wildcards may be written ``<name>``."""
    as_pattern = re.sub("<([a-z]+)>", r"{\1}", path)
    return {
        rule.name
        for rule in rules().values()
        for output in rule.output
        if (re.sub(",[^{}]*(?=})", "", str(output)) == as_pattern if "<" in path else output.match(path))
    }


def is_path(target: str) -> bool:
    return not target.startswith(("python -m ", "memorization."))


def test_every_source_script_and_option_has_one_row():
    there = [name for row in rows() for name in quoted(row[COLUMNS[0]])]
    assert len(there) == len(set(there))
    assert not [name for name in SCRIPTS.split() if len(fnmatch.filter(there, name)) != 1]
    assert set(UNNAMED) <= {row[COLUMNS[0]] for row in rows()}


def test_every_rule_is_one():
    assert in_column("rule")
    assert not set(in_column("rule")) - set(rules())


def test_every_key_may_be_set():
    assert in_column("key")
    assert not set(in_column("key")) - keys()


@pytest.mark.parametrize("target", in_column("target"))
def test_every_target_can_be_made(target):
    if target.startswith("python -m memorization "):
        with pytest.raises(SystemExit) as exited:
            main([*target.split()[3:], "--help"])
        assert exited.value.code == 0
    elif target.startswith("memorization."):
        module, _, name = target.rpartition(".")
        code = ast.parse((ROOT / "src" / Path(*module.split("."))).with_suffix(".py").read_text())
        assert name in {node.name for node in code.body if isinstance(node, ast.FunctionDef)}
    else:
        assert made_by(path_of(target)), target


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['section']} {row[COLUMNS[0]]}".replace("`", ""))
def test_a_row_s_rules_are_needed_for_its_targets_and_its_rules_and_keys_are_of_its_section(row):
    own = (*row["section"].split(" and "), "following_sequences", "style")
    assert all(name.startswith(own) for name in quoted(row["rule"]) + quoted(row["key"]))
    there = {job.rule.name for job in smoke_jobs()}  # of others, which are made on demand, no job tells
    targets = [path_of(target) for target in quoted(row["target"]) if is_path(target)]
    for rule in there.intersection(quoted(row["rule"])) if targets else ():
        assert any(rule in needed(path) for path in targets), rule


def needed(path: str) -> set[str]:
    """The rules that make a path, and those that in the smoke study make what these need.

    Of a job that pools several tables, what it needs are the inputs with the name of this one.
    """
    todo = [job for job in smoke_jobs() if job.rule.name in made_by(path)]
    seen, names = set(todo), made_by(path)
    while todo:
        job = todo.pop()
        names.add(job.rule.name)
        inputs = job.input
        if job.rule.name in made_by(path):
            table = Path(path).stem.removeprefix(job.rule.name.removesuffix("runs_table"))
            pooled = job.input.get(table) or inputs
            inputs = [pooled] if isinstance(pooled, str) else pooled
        more = {other for other, files in job.dag.dependencies[job].items() if files.intersection(inputs)} - seen
        seen |= more
        todo += more
    return names
