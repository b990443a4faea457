"""The GPU benchmark, on the CPU at smoke scale; what it measures there says nothing of a GPU."""

import sys

import pytest
import torch
from snakemake.utils import update_config

from memorization.provenance import ROOT

sys.path.insert(0, str(ROOT.parent / "benchmarks"))

import gpu
import page

RATIOS = "# Performance\n\n| what | ratio |\n|---|---|\n| a | 2x |\n"


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "performance.md"
    path.write_text(RATIOS)
    return path


def test_neither_writer_touches_what_the_other_wrote(written):
    page.write(written, gpus="fast\n")
    assert written.read_text() == f"{RATIOS}\n{page.GPUS}\nfast\n"
    page.write(written, ratios="# Performance\n\nanew\n")
    assert written.read_text() == f"# Performance\n\nanew\n\n{page.GPUS}\nfast\n"
    page.write(written, gpus="faster")
    assert written.read_text() == f"# Performance\n\nanew\n\n{page.GPUS}\nfaster\n"


def test_without_a_gpu_a_page_says_so_and_keeps_what_was_measured_elsewhere(written, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu, "write", lambda gpus: page.write(written, gpus=gpus))
    monkeypatch.setattr(gpu, "has_gpus", lambda: page.has_gpus(written))
    gpu.main()
    assert "Not measured: no GPU machine was at hand." in written.read_text()
    page.write(written, gpus="fast")
    gpu.main()
    assert written.read_text().endswith("fast\n")


def test_every_family_has_cases_that_train(monkeypatch):
    monkeypatch.setattr(gpu, "WARM_UP", 1)
    monkeypatch.setattr(gpu, "STEPS", 2)
    config = gpu.paper()
    assert config["zipf"]["defaults"]["n_layers"] == 24
    small = [{"name": name, "count": 50, "length": 12, "exponent": 1.0} for name in ("paper", "matched")]
    defaults = {"n_layers": 1, "n_heads": 2, "d_model": 8, "batch_size": 16}
    update_config(config["zipf"], {"datasets": small, "defaults": defaults, "models": [{"name": "medium"}]})
    memory = {"batch_size": 16, "memory_size": 64}
    update_config(config["associative_memory"], {"datasets": small, "defaults": memory})
    cases = [
        *gpu.zipf(config, "cpu", names=("medium",)),
        *gpu.associative_memory(config, "cpu"),
        *gpu.grokking(config, "cpu"),
    ]
    rows = [gpu.row(case, "NVIDIA H200", "cpu").strip("| ").split(" | ") for case in cases]
    expected = [
        ("zipf", "medium", "float32"),
        ("zipf", "medium", "bfloat16"),
        ("associative_memory", "heads_10", "float32"),
        ("grokking", "wd_1", "float32"),
    ]
    assert [tuple(row[:3]) for row in rows] == expected
    assert all(float(row[3]) > 0 for row in rows)
    assert [row[4] == "—" for row in rows] == [False, False, True, True]
    assert cases[2].step(3) > 0


def test_utilization_is_of_the_peak_of_the_precision_and_unknown_on_unknown_devices():
    def case(precision, flops=67e12):
        return gpu.Case("zipf", "medium", precision, None, flops)

    assert gpu.utilization(case("float32"), 0.5, "NVIDIA H200") == pytest.approx(0.5)
    assert gpu.utilization(case("bfloat16"), 0.5, "NVIDIA H200") == pytest.approx(33.5 / 989)
    assert gpu.utilization(case("float32"), 0.5, "abacus") is None
    assert gpu.utilization(case("float32", None), 0.5, "NVIDIA H200") is None
