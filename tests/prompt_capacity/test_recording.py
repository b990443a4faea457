import numpy as np
import pandas as pd
import pytest
from prompt_capacity_small import DRAWN, byte_pairs, frozen
from tokenizers import Tokenizer

from memorization.prompt_capacity.measuring import described, memorization_table
from memorization.prompt_capacity.memorizing import Cell, PromptLearner, memorize
from memorization.prompt_capacity.recording import prompt_records, prompt_runs
from memorization.prompt_capacity.texts import Pool, as_arrays
from memorization.provenance import generator
from memorization.records import RECORD, RUN
from memorization.training.checkpoints import Unfinished

LN2 = np.log(2)
SETTINGS = DRAWN | {
    "init": "embedding_std", "beta2": 0.9, "weight_decay": 0.0, "score_first_token": True, "stop_perplexity": 2.0,
    "evaluate_every": 2, "batch_rows": 100,
}  # fmt: skip
# Two prompts of layout prefix, each of two texts, and two of solo; texts of 5 tokens. The second prompt left at step 3.
CELL = {
    "prompt_length": np.array(2), "length": np.array(5), "d_model": np.array(8), "vocabulary": np.array(50),
    "parameters": np.array(1000), "scored": np.array(5), "group": np.array([2, 2, 1, 1]),
    "layout": np.array(["prefix", "prefix", "solo", "solo"]), "left": np.array([-1, 3, -1, -1]),
    "step": np.array([0, 2, 7]),
    "losses": np.arange(32, dtype=np.float32).reshape(8, 4),
    "right": np.array([[0, 0, 0, 0.2], [0.5, 1, 0.4, 0.6], [0.9, 1, 1, 0.8]], np.float32),
}  # fmt: skip
TABLE = pd.DataFrame({"nll_without_bits": [1.0, 2, 4, 8, 16, 32]})


def records(cells=(CELL,), tables=(TABLE,)):
    return prompt_records(list(cells), list(tables), "some", 4)


def test_a_record_is_of_a_prompt_at_a_recorded_step():
    found = records()
    assert list(found) == list(RECORD)
    assert found["step"].tolist() == np.repeat([0, 2, 7], 4).tolist()
    of_run = found[["family", "arm", "condition", "seed", "phase", "chance"]].drop_duplicates()
    assert of_run.to_numpy().tolist() == [["prompt_capacity", "prompt", "some", 4, "train", 1 / 50]]
    items = ["prefix_k2_length5_0", "prefix_k2_length5_1", "solo_k2_length5_0", "solo_k2_length5_1"]
    assert found["item"].tolist() == 3 * items
    assert found["n_tokens"].tolist() == 3 * [10, 10, 5, 5]
    np.testing.assert_allclose(found["recall"], CELL["right"].ravel())
    assert found["exact"].tolist() == [False] * 5 + [True] + [False] * 3 + [True, True, False]


def test_what_a_prompt_costs_is_in_bits_of_all_its_tokens():
    found = records()
    expected = np.concatenate([CELL["losses"][step] for step in (0, 2, 7)]) * np.tile([10, 10, 5, 5], 3) / LN2
    np.testing.assert_allclose(found["nll_bits"], expected, rtol=1e-6)


def test_the_prior_is_the_cost_of_its_texts_without_a_prompt():
    assert records()["prior_bits"].tolist() == 3 * [1 + 2, 4 + 8, 16, 32]


def test_exposures_are_optimizer_steps_and_stop_when_a_trial_has_left():
    found = records()
    assert found["exposures"].tolist() == [0, 0, 0, 0, 2, 2, 2, 2, 7, 3, 7, 7]
    assert found["last_exposure_step"].tolist() == found["exposures"].tolist()


def test_items_of_several_cells_have_names_of_their_own():
    other = CELL | {"length": np.array(9), "prompt_length": np.array(1)}
    found = records([CELL, other], [TABLE, TABLE])
    assert len(found) == 24
    assert not found.duplicated(["item", "step"]).any()
    assert found["item"].nunique() == 8


def test_a_run_is_all_prompts_of_its_cells():
    other = CELL | {"prompt_length": np.array(1), "losses": CELL["losses"][:5]}
    found = prompt_runs([CELL, other], "some", 4)
    assert list(found) == list(RUN)
    trained = 4 * 2 * 8 + 4 * 8
    size = [1000 + trained, 1000 + trained, trained, 32 * trained]
    assert found.iloc[0].tolist() == ["prompt_capacity", "prompt", "some", 4, *size, 7, True]


@pytest.fixture(scope="module", params=[True, False], ids=["first_token", "no_first_token"])
def trained(request, tmp_path_factory):
    documents = [generator("test", n, "document").integers(280, size=12) for n in range(20)]
    pool = Pool(as_arrays(documents, byte_pairs(), 280))
    assert Tokenizer.from_str(byte_pairs()).get_vocab_size() == 280
    settings = SETTINGS | {"score_first_token": request.param}
    model = frozen(280, init_std=1.0)
    trials = pool.trials(settings, 8, 0).cut(3)
    learner = PromptLearner(model, Cell(trials, ("infix", "solo"), 4), settings, {"infix": 0.3, "solo": 0.3}, 0)
    unfinished = Unfinished(tmp_path_factory.mktemp("made") / "x.a.unfinished", 3600)
    found = memorize(learner, 150, 6, unfinished, 3600)
    about = {"condition": "some", "seed": 4, "learning_rates": {"infix": 0.3, "solo": 0.3}}
    return learner, found, memorization_table(learner, found, trials, about)


def test_a_cell_s_file_says_what_its_prompts_are(trained):
    learner, found, _ = trained
    cell = described(learner, found)
    first = learner.settings["score_first_token"]
    assert {name: int(cell[name]) for name in ("prompt_length", "length", "d_model", "vocabulary", "scored")} == {
        "prompt_length": 4,
        "length": 3,
        "d_model": 16,
        "vocabulary": 280,
        "scored": 3 if first else 2,
    }
    assert cell["parameters"] == learner.model.n_parameters
    assert cell["layout"].tolist() == 5 * ["infix"] + 10 * ["solo"]
    assert cell["kind"].tolist() == [*3 * ["text"], *2 * ["random"], *6 * ["text"], *4 * ["random"]]
    assert cell["trial"].tolist() == [0, 1, 2, 3, 4, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert cell["group"].tolist() == 5 * [2] + 10 * [1]
    assert cell.items() >= found.items()


def test_records_of_what_was_trained_are_those_of_its_tables(trained):
    """The best iterate of a prompt costs no more than any recorded one; without P its texts cost the prior."""
    learner, found, table = trained
    cell = described(learner, found)
    rows = prompt_records([cell], [table], "some", 4)
    last = rows[rows["step"] == rows["step"].max()].reset_index(drop=True)
    owner = np.repeat(np.arange(15), cell["group"])
    np.testing.assert_allclose(last["prior_bits"], table.groupby(owner)["nll_without_bits"].sum(), rtol=1e-5)
    best = table.groupby(owner)["nll_bits"].sum().to_numpy()
    assert (rows.groupby("item", sort=False)["nll_bits"].min() >= best - 1e-3).all()
    left = cell["left"] >= 0
    assert left.any()
    assert (last["exposures"][left] == cell["left"][left]).all()
    assert last["exact"][left].all()
    exposures = rows.groupby("item", sort=False)["exposures"]
    assert (exposures.diff().dropna() >= 0).all()
