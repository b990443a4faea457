"""Only what is stale is made again."""

import re
import shutil

ZIPF_FIGURES = {
    "zipf_curves_figure": 2, "zipf_comparison_figure": 1, "zipf_switch_figure": 1, "zipf_swap_figure": 1,
}  # fmt: skip
BESIDE = {"associative_memory_comparison_figure": 1}  # which shows a model of zipf
OF_TABLES = BESIDE | {
    "associative_memory_curves_figure": 2, "associative_memory_heads_figure": 1, "associative_memory_switch_figure": 1,
}  # fmt: skip
MEMORY_FIGURES = OF_TABLES | {"associative_memory_attention_figure": 1}
GROKKING_FIGURES = {"grokking_figure": 5, "grokking_fingerprint_figure": 1}


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def overlay(tmp_path, text):
    path = tmp_path / "overlay.yaml"
    path.write_text(text)
    return str(path)


def test_nothing_is_stale_after_a_run(study):
    assert study.planned() == {}


def test_a_clone_elsewhere_with_touched_files_comments_and_reordered_yaml_makes_nothing_stale(
    study, checkout, tmp_path
):
    for script in (*checkout.rglob("*.py"), *checkout.rglob("*.smk")):
        script.touch()
    rewrite(checkout / "src/memorization/models/decoder.py", '"""A causal', '"""A very causal')
    rewrite(
        checkout / "src/memorization/zipf/training.py",
        "        loss.backward()",
        "        # why\n        loss.backward()",
    )
    smoke = (checkout / "config/smoke.yaml").read_text().replace("3.0e-4", "0.000300")
    head, ranks, rest = re.split(r"^(  ranks: .*\n)", smoke, maxsplit=1, flags=re.MULTILINE)
    (checkout / "config/smoke.yaml").write_text(head.replace("zipf:\n", f"zipf:\n{ranks}") + rest)
    assert study.planned(root=checkout) == {}


def test_inputs_that_were_touched_make_nothing_stale(study, tmp_path):
    copy = tmp_path / "smoke"
    shutil.copytree(study.folder, copy)
    for path in (copy / "results/zipf/sequences").rglob("*.npz"):
        path.touch()
    assert type(study)(study.root, copy).planned() == {}


def test_one_more_seed_trains_that_seed_once_per_condition(study, tmp_path):
    expected = {"random_sequences": 1, "following_sequences": 3, "zipf_train": 4 + 1 + 2, "zipf_evaluate": 6}
    expected |= {"zipf_swap": 2, "zipf_table": 5} | ZIPF_FIGURES | BESIDE
    assert study.planned(overlay(tmp_path, "zipf: {seeds: 3}")) == expected
    expected = {"random_sequences": 1, "following_sequences": 1, "associative_memory_train": 4}
    expected |= {"associative_memory_evaluate": 4, "associative_memory_table": 4} | OF_TABLES
    assert study.planned(overlay(tmp_path, "associative_memory: {seeds: 3}")) == expected


def test_a_color_draws_the_figures_that_use_it_and_trains_nothing(study, tmp_path):
    def stale(text):
        return study.planned(overlay(tmp_path, text))

    assert stale("plotting: {style: {dpi: 100}}") == ZIPF_FIGURES | MEMORY_FIGURES | GROKKING_FIGURES
    assert stale("plotting: {zipf_curves: {palette: magma}}") == {"zipf_curves_figure": 2}
    assert stale("plotting: {zipf_comparison: {palette: deep}}") == {"zipf_comparison_figure": 1}
    assert stale("plotting: {zipf_switch: {step: [1, null]}}") == {"zipf_switch_figure": 1}
    attention = {"associative_memory_attention_figure": 1}
    assert stale("plotting: {associative_memory_attention: {palette: viridis}}") == attention


def test_panels_in_another_order_are_drawn_again(study, tmp_path):
    panels = overlay(tmp_path, "zipf: {panels: [medium, small, large_rope, large_lr]}")
    assert study.planned(panels) == {"zipf_curves_figure": 2}


def test_what_is_frozen_at_a_switch_trains_from_the_switch_on_alone(study, tmp_path):
    smoke = (study.root / "config/smoke.yaml").read_text()
    changed = overlay(tmp_path, smoke.replace("freeze: all_but_mlp", "freeze: attention"))
    expected = {"zipf_train": 2, "zipf_evaluate": 2, "zipf_swap": 2, "zipf_table": 5}
    assert study.planned(changed) == {"zipf_switch_figure": 1, "zipf_swap_figure": 1} | expected


def test_what_says_how_a_job_runs_makes_nothing_stale(study, tmp_path):
    how = ["device: cpu", "gpu_share: 2", "progress: {report_seconds: 1, checkpoint_seconds: 1}"]
    assert study.planned(overlay(tmp_path, "\n".join([*how, "zipf: {defaults: {runtime: 7}}"]))) == {}


def test_what_changes_rounding_trains_again(study, tmp_path):
    for key in ("precision: bfloat16", "gpus: 2"):
        assert study.planned(overlay(tmp_path, f"zipf: {{defaults: {{{key}}}}}"))["zipf_train"] == 14


def test_one_number_of_one_condition_trains_that_condition(study, tmp_path):
    smoke = (study.root / "config/smoke.yaml").read_text()
    changed = overlay(tmp_path, smoke.replace("learning_rate: 3.0e-4", "learning_rate: 2.0e-4"))
    assert changed
    expected = {"zipf_train": 2, "zipf_evaluate": 2, "zipf_table": 4, "zipf_curves_figure": 2}
    assert study.planned(changed) == expected


def test_code_makes_stale_what_runs_it_and_no_more(study, checkout):
    package = checkout / "src/memorization"
    rewrite(package / "zipf/figures.py", "zorder=0", "zorder=-1")
    two = {"zipf_comparison_figure": 1, "zipf_swap_figure": 1}
    assert study.planned(root=checkout) == two
    rewrite(package / "associative_memory/model.py", "alpha=self.eta", "alpha=1 * self.eta")
    trained = {"associative_memory_train": 8, "associative_memory_evaluate": 8, "associative_memory_table": 4}
    assert study.planned(root=checkout) == two | trained | MEMORY_FIGURES
    rewrite(package / "random_sequences/measures.py", "nll < LN2", "nll <= LN2")
    evaluated = {"zipf_evaluate": 12, "zipf_swap": 4, "zipf_table": 5} | ZIPF_FIGURES
    assert study.planned(root=checkout) == evaluated | trained | MEMORY_FIGURES
    rewrite(package / "models/decoder.py", "query, key, value = heads", "query, key, value = 1 * heads")
    planned = study.planned(root=checkout)
    others = {rule: count for rule, count in planned.items() if not rule.startswith("grokking")}
    assert others == {"zipf_train": 14} | evaluated | trained | MEMORY_FIGURES
    assert planned["grokking_train"] == 4  # its transformer is made of the decoder's parts
