import numpy as np
import pandas as pd
import pytest
from sections import complete, plotting

from memorization.capacity.figures import parameters_figure, sequences_figure, training_figure

SEQUENCES, PARAMETERS, TRAINING = (
    plotting(complete(), "capacity", name) for name in ("sequences", "parameters", "training")
)


@pytest.fixture
def bits():
    """Two conditions of three seeds, each at its level from step 10 on."""
    rows = []
    for name, count, parameters, held in (("small", 8, 100, 250.0), ("large", 16, 200, 600.0)):
        for seed in range(3):
            for step in (0, 10, 90, 95, 100):
                row = {"condition": name, "seed": seed, "step": step, "count": count, "parameters": parameters}
                row |= {"bits": (held + seed) * (step > 0), "to_hold": 1000.0}
                rows.append(row)
    table = pd.DataFrame(rows).assign(exact=0.5)
    table["bits_per_parameter"] = table["bits"] / table["parameters"]
    return table.assign(bits_per_state_bit=table["bits_per_parameter"] / 32)


def line(ax, label):
    (found,) = [each for each in ax.lines if each.get_label() == label]
    return found


def test_bits_stand_against_sequences_below_all_that_there_is_to_hold(bits):
    one_model = bits.assign(parameters=100)
    (ax,) = sequences_figure(one_model, SEQUENCES).axes
    np.testing.assert_allclose(line(ax, "bits memorized").get_xydata(), [[8, 251], [16, 601]])
    assert ax.get_xticks().tolist() == [8, 16]
    np.testing.assert_allclose(line(ax, "all that there is to hold").get_ydata(), 1000)
    np.testing.assert_allclose(line(ax, "2 bits per parameter").get_ydata(), 200)
    np.testing.assert_allclose(line(ax, "3.6 bits per parameter").get_ydata(), 360)
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_bits_stand_against_parameters_beside_lines_of_the_literature(bits):
    (ax,) = parameters_figure(bits, ["small", "large"], PARAMETERS).axes
    means = {each.get_label(): each.get_offsets().data.tolist() for each in ax.collections}
    assert means["small"] == [[100, 251]]
    assert means["large"] == [[200, 601]]
    x, y = line(ax, "3.6 bits per parameter").get_xydata().T
    np.testing.assert_allclose(y, 3.6 * x)
    assert x[0] < 100
    assert x[1] > 200


def test_training_has_a_panel_a_comparison_and_a_line_a_condition(bits):
    comparisons = [{"name": "one", "conditions": ["small"]}, {"name": "two", "conditions": ["small", "large"]}]
    one, two = training_figure(bits, comparisons, TRAINING).axes
    assert [ax.get_title() for ax in (one, two)] == ["one", "two"]
    assert [text.get_text() for text in two.get_legend().texts] == ["small", "large"]
    np.testing.assert_allclose(line(two, "large").get_ydata(), 3.005)
    assert line(two, "large").get_xdata()[0] == 10
