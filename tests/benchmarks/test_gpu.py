"""The GPU benchmark, on the CPU at smoke scale; what it measures there says nothing of a GPU."""

import sys

import pytest
import torch
import yaml

from memorization.families import FAMILIES, complete, configured
from memorization.provenance import ROOT

sys.path.insert(0, str(ROOT.parent / "benchmarks"))

import gpu
import page
from modules import Case, modules

RATIOS = "# Performance\n\n| what | ratio |\n|---|---|\n| a | 2x |\n"
WITH_CASES = [family for family, module in modules().items() if hasattr(module, "cases")]
SMOKE = complete(yaml.safe_load((ROOT.parent / "config/smoke.yaml").read_text()))


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


def test_its_configuration_is_that_of_the_paper():
    config = gpu.paper()
    configured(config)
    assert config["device"] == "cuda"
    assert all(config[family.name] != SMOKE[family.name] for family in FAMILIES)


@pytest.mark.parametrize("family", WITH_CASES)
def test_a_family_has_cases_that_train(family, monkeypatch):
    monkeypatch.setattr(gpu, "WARM_UP", 1)
    monkeypatch.setattr(gpu, "STEPS", 2)
    cases = list(modules()[family].cases(SMOKE, "cpu"))
    assert cases
    for case in cases:
        row = gpu.row(family, case, "NVIDIA H200", "cpu").strip("| ").split(" | ")
        name, condition, precision, rate, share, memory = row
        assert (name, memory) == (family, "—")
        assert condition in configured(SMOKE)[family].names
        assert precision in ("float32", "bfloat16")
        assert float(rate) > 0
        assert (share == "—") == (case.flops is None)
        before, *_, after = (float(case.step(n)) for n in range(4, 40))
        assert after < before


def test_the_utilization_of_a_case_is_that_of_its_steps(monkeypatch):
    monkeypatch.setattr(gpu.time, "perf_counter", iter([0.0, 50.0]).__next__)
    case = Case("medium", "float32", lambda n: torch.zeros(()), lambda n: n * 1e12)
    steps = gpu.WARM_UP + (gpu.STEPS + 1) / 2  # teraFLOPs of a step on average, in half a second
    assert gpu.row("family", case, "NVIDIA H200", "cpu").split(" | ")[4] == f"{100 * steps / 0.5 / 67:.1f}%"


def test_utilization_is_of_the_peak_of_the_precision_and_unknown_on_unknown_devices():
    assert gpu.utilization(33.5e12, "float32", "NVIDIA H200") == pytest.approx(0.5)
    assert gpu.utilization(33.5e12, "bfloat16", "NVIDIA H200") == pytest.approx(33.5 / 989)
    assert gpu.utilization(33.5e12, "float32", "abacus") is None
