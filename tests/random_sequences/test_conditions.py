"""How large trainings on random sequences are, of a toy family."""

import pytest

from memorization.random_sequences.conditions import SequenceFamily, distinct

UNIFORM = {"name": "uniform", "count": 100, "length": 12, "exponent": 0}


class Toy(SequenceFamily):
    name = "toy"

    def parameters(self, name):
        return 7

    def forward_flops(self, name):
        return 1000.0


TOY = Toy(
    {
        "seeds": 2,
        "datasets": [UNIFORM],
        "defaults": {"dataset": "uniform", "batch_size": 8, "steps": 50, "mem_mb": 1000, "runtime": 30},
        "conditions": [{"name": "plain", "seeds": 3}],
        "switches": [
            {"name": "once", "condition": "plain", "kind": "resample", "switch_steps": [50], "steps": 70},
            {
                "name": "twice",
                "condition": "plain",
                "kind": "forget",
                "switch_steps": [50, 60],
                "steps": 90,
                "seeds": 1,
            },
        ],
        "evaluation": {"n_records": 5, "n_late": 2, "head": 10, "train_stride": 4},
    }
)


@pytest.mark.parametrize(
    ("name", "seeds", "trainings", "steps", "sets"),
    [
        ("plain", 3, 1, 50, 1),
        ("once", 3, 1, 20, 1 + 1 / 4),  # the set before it, of which every 4th is recorded
        ("twice", 1, 2, 40, (1 + 1 / 4) + (1 + 2 / 4)),
    ],
)
def test_a_condition_s_trainings_are_its_steps_and_what_they_record(name, seeds, trainings, steps, sets):
    passes = 3 * steps * distinct(UNIFORM, 8) + (5 + 2) * 100 * sets  # a backward pass costs two forward ones
    assert TOY.training_size(name) == {
        "jobs": seeds * trainings, "parameters": 7, "steps": steps, "flops": pytest.approx(seeds * passes * 1000),
    }  # fmt: skip


def test_draws_hold_as_many_distinct_sequences_as_they_do_on_average():
    assert distinct(UNIFORM | {"count": 2}, 2) == pytest.approx(1.5)
    assert distinct(UNIFORM | {"count": 1000}, 10**6) == pytest.approx(1000)
    assert distinct(UNIFORM | {"count": 1}, 10) == 1
