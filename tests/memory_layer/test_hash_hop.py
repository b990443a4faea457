import re
from itertools import pairwise

import pytest

from memorization.configuration import ConfigurationError
from memorization.memory_layer import hash_hop
from memorization.memory_layer.data import hash_hop as data
from memorization.provenance import generator

SETTINGS = {
    "num_samples": 30,
    "eval_samples": 5,
    "n_chains": 4,
    "n_queries": 2,
    "hops": [1, 2, 3],
    "hash_length": 6,
    "alphabet": "letters",
    "hashes": "random",
    "chain_of_thought": False,
    "context": True,
    "labels": "final",
}
PROMPT = "cc = 'dd'\nxx = yy\nbb = cc\naa = bb\nzz = 'ww'\nyy = zz"
LINKS = {"aa": "bb", "bb": "cc", "cc": "dd", "xx": "yy", "yy": "zz", "zz": "ww"}
CHAINS = "aa = bb = cc = 'dd'\nxx = yy = zz = 'ww'\n"
TARGETS = {"aa": "dd", "xx": "ww"}


def rng(seed=0):
    return generator("test", seed, "chains")


def made(seed=0, **change):
    return data.make(SETTINGS | change, rng(seed))


def hashes(text):
    return re.findall(r"\b\w{6}\b", text)


@pytest.mark.parametrize("chain_of_thought", [False, True])
@pytest.mark.parametrize("hops", [1, 2, 4])
def test_a_sample_is_answered_by_walking_its_links(hops, chain_of_thought):
    prompt, completion, targets = hash_hop.make_sample(5, hops, 7, chain_of_thought, 3, rng())
    links = {}
    for line in prompt.split("\n"):
        first, then = line.split(" = ")
        links[first] = then.strip("'")
    assert len(links) == 5 * hops
    header, asked = completion.split("\n\n", 1)
    assert header == f"COMPLETION:\nHops={hops}"
    cot, asked = asked.split("\n\n")
    assert cot == f"CoT={chain_of_thought}"
    lines = asked.removesuffix("\n").split("\n")
    assert len(lines) == len(targets) == 3
    for line, (first, last) in zip(lines, targets.items(), strict=True):
        way = [first]
        for _ in range(hops):
            way.append(links[way[-1]])
        assert way[-1] == last
        assert last not in links
        assert f"{way[-2]} = '{last}'" in prompt
        told = way if chain_of_thought else [first, last]
        assert line == " = ".join(told[:-1]) + f" = '{last}'"


def test_links_are_shuffled_and_without_context_only_the_header_is_gone():
    whole, bare = (hash_hop.make_sample(6, 3, 5, True, 2, rng(), context=each) for each in (True, False))
    assert whole[0] == bare[0]
    assert whole[1] == "COMPLETION:\nHops=3\n\nCoT=True\n\n" + bare[1]
    prompts = {hash_hop.make_sample(6, 3, 5, True, 2, rng(seed))[0] for seed in range(3)}
    assert len(prompts) == 3
    links = [line.split(" = ") for line in whole[0].split("\n")]
    follows = [one[1] == two[0] for one, two in pairwise(links)]
    assert sum(follows) < 6  # 12 in order, 12 / 18 expected


@pytest.mark.parametrize("draw", ["random", "digest"])
@pytest.mark.parametrize(
    ("alphabet", "symbols"), [("letters", "A-Za-z"), ("alphanumeric", "A-Za-z0-9"), ("hex", "0-9a-f")]
)
def test_hashes_are_of_their_alphabet(alphabet, symbols, draw):
    prompt, _, _ = hash_hop.make_sample(200, 1, 6, False, 1, rng(), alphabet=alphabet, hashes=draw)
    found = hashes(prompt)
    assert len(set(found)) == 400
    letters = set("".join(found))
    assert re.fullmatch(f"[{symbols}]*", "".join(letters))
    assert len(letters) == len(hash_hop.ALPHABETS[alphabet])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_queries": 5}, "n_queries: 5 of 4 chains; allowed: 1 to 4"),
        ({"n_queries": 0}, "n_queries: 0 of 4 chains; allowed: 1 to 4"),
        ({"hops": 0}, "hops: 0 is less than the minimum of 1"),
        ({"alphabet": "greek"}, "alphabet: 'greek' is not allowed; allowed: letters, alphanumeric, hex"),
        ({"hashes": "md5"}, "hashes: 'md5' is not allowed; allowed: random, digest"),
        ({"hash_length": 1, "n_chains": 14}, "strings: 28 different ones are needed, but 1 characters of 52 allow 26"),
    ],
)
def test_a_sample_that_cannot_be_is_refused(change, message):
    arguments = {"n_chains": 4, "hops": 1, "hash_length": 3, "chain_of_thought": False, "n_queries": 1}
    with pytest.raises(ValueError, match=r"allowed|minimum") as error:
        hash_hop.make_sample(**arguments | change, rng=rng())
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": PROMPT.replace("yy = zz", "yy = cc")}, "a hash stands in two chains"),
        ({"prompt": PROMPT.replace("'ww'", "yy")}, "'xx': its chain comes back to itself"),
        ({"prompt": PROMPT.replace("'ww'", "xx")}, "a hash stands in two chains, or twice in one"),
        ({"prompt": PROMPT + "\naa = qq"}, "a second link of its hash"),
        ({"prompt": PROMPT + "\naa == qq"}, "no link such as"),
        ({"prompt": PROMPT.replace("bb = cc\n", "")}, "hops, not 3"),
        ({"hops": 2}, "'xx': 3 hops, not 2"),
        ({"completion": CHAINS.replace("= 'dd'", "= 'ww'")}, "'aa': answered by"),
        ({"completion": CHAINS.replace("bb = cc", "cc = bb")}, "'aa': answered by"),
        ({"completion": CHAINS.replace("xx", "yy")}, "the targets are not the queries asked"),
        ({"targets": {"aa": "dd"}}, "the targets are not the queries asked"),
        ({"targets": {"aa": "ww", "xx": "ww"}}, "'aa': answered by"),
    ],
)
def test_a_wrong_sample_is_found_by_walking_it(change, message):
    right = {"prompt": PROMPT, "completion": CHAINS, "targets": TARGETS, "hops": 3}
    hash_hop.verify(**right)
    hash_hop.verify(**right | {"completion": "COMPLETION:\nHops=3\n\nCoT=False\n\naa = 'dd'\nxx = 'ww'\n"})
    with pytest.raises(ValueError, match=message):
        hash_hop.verify(**right | change)


def test_a_circle_is_no_chain():
    with pytest.raises(ValueError, match="comes back to itself"):
        hash_hop.walk("aa", {"aa": "bb", "bb": "aa"})


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("dd", "correct"),
        ("bb", "intermediate"),
        ("aa", "intermediate"),
        ("xx", "other_chain"),
        ("ww", "other_chain"),
        ("qq", "unknown"),
        ("q1", "malformed"),
        ("ddd", "malformed"),
        ("", "malformed"),
    ],
)
def test_every_wrong_answer_has_a_class(answer, kind):
    assert hash_hop.classify(answer, "aa", LINKS) == kind
    assert kind in hash_hop.CLASSES


def test_an_answer_on_the_way_is_right_where_it_is_asked():
    assert hash_hop.classify("cc", "aa", LINKS, hop=2) == "correct"
    assert hash_hop.classify("dd", "aa", LINKS, hop=2) == "intermediate"
    assert hash_hop.classify("q1", "aa", LINKS, "alphanumeric") == "unknown"


def test_answers_are_scored_by_query_by_hop_and_by_the_final_hash():
    links = hash_hop.read_links(PROMPT)
    assert links == LINKS
    scores = hash_hop.score(links, CHAINS, "aa = bb = zz = 'dd'\nxx = yy = zz = 'ww'\n")
    assert scores["kind"].tolist() == ["correct", "other_chain", "correct"] + ["correct"] * 3
    assert scores["hop"].tolist() == [1, 2, 3] * 2
    assert scores["answer"].tolist()[:3] == ["bb", "zz", "dd"]
    assert scores["target"].tolist() == ["bb", "cc", "dd", "yy", "zz", "ww"]
    header = "COMPLETION:\nHops=3\n\nCoT=False\n\n"
    scores = hash_hop.score(links, f"{header}aa = 'dd'\nxx = 'ww'\n", f"{header}aa = 'cc'\nxx = 'ww'\n")
    assert scores[["hop", "is_last", "kind"]].to_numpy().tolist() == [[3, True, "intermediate"], [3, True, "correct"]]


@pytest.mark.parametrize(
    "answered", ["", "aa = bb = 'dd'\n", "aa = bb = cc = dd\n", "aa = bb\n = cc = 'dd'\n", "aa = bb = cc = dd = 'dd'\n"]
)
def test_an_answer_of_another_form_is_malformed(answered):
    scores = hash_hop.score(LINKS, "aa = bb = cc = 'dd'\n", answered)
    assert set(scores["kind"]) == {"malformed"}
    assert len(scores) == 3
    assert not scores["right"].any()


@pytest.mark.parametrize("draw", ["random", "digest"])
@pytest.mark.parametrize("chain_of_thought", [False, True])
def test_the_hashes_of_a_sample_are_all_different(chain_of_thought, draw):
    table = made(chain_of_thought=chain_of_thought, hashes=draw)
    samples = [set(hashes(text)) for text in table["text"]]
    assert [len(each) for each in samples] == [4 * (hops + 1) for hops in table["hops"]]
    for row in table.itertuples():
        prompt, completion = row.text.split("\nCOMPLETION:")
        targets = {line.split(" = ")[0]: line[-7:-1] for line in completion.splitlines() if " = " in line}
        hash_hop.verify(prompt, completion, targets, row.hops)
        assert f"CoT={row.chain_of_thought}" in completion
        assert row.item == f"sample {row.sample}"


def test_no_link_of_evaluation_is_trained():
    few = {"alphabet": "letters", "hash_length": 1, "n_chains": 2, "hops": [1]}  # 2,652 links
    table = made(num_samples=300, eval_samples=20, **few)
    links = {split: set() for split in ("train", "eval")}
    for row in table.itertuples():
        links[row.split] |= set(hash_hop.read_links(row.text.split("\nCOMPLETION:")[0]).items())
    assert links["train"].isdisjoint(links["eval"])
    assert len(links["eval"] & {(one, then) for then, one in links["train"]}) > 0  # hashes are used again


def test_without_context_no_hash_stands_in_two_samples():
    table = made(context=False)
    samples = table["text"].map(hashes).groupby(table["sample"]).agg(lambda each: set().union(*each))
    assert len(set.union(*samples)) == sum(map(len, samples))


def test_training_is_balanced_and_evaluation_has_every_difficulty():
    table = made()
    train, evaluation = (table[table["split"] == split] for split in ("train", "eval"))
    assert train.groupby("hops").size().to_dict() == {1: 10, 2: 10, 3: 10}
    assert train["copies"].eq(1).all()
    assert evaluation["copies"].eq(0).all()
    sets = evaluation.groupby(["difficulty", "hops", "chain_of_thought"]).size().to_dict()
    expected = [
        ("easy", 1, False),
        ("medium", 2, True),
        ("hard", 3, False),
        ("challenge", 4, False),
        ("none", 2, False),
    ]
    assert sets == dict.fromkeys(expected, 5)
    with_chain = made(chain_of_thought=True).query("split == 'eval'")
    sets = with_chain.groupby(["difficulty", "hops", "chain_of_thought"]).size().to_dict()
    expected = [("easy", 1, True), ("medium", 2, True), ("hard", 3, False), ("challenge", 4, False), ("none", 3, True)]
    assert sets == dict.fromkeys(expected, 5)


@pytest.mark.parametrize(("labels", "begins"), [("final", 3), ("quoted", 3), ("chain", 1)])
def test_the_answer_reaches_from_the_first_hash_that_is_trained_to_the_last(labels, begins):
    for row in made(labels=labels, chain_of_thought=True).query("hops == 3 and chain_of_thought").itertuples():
        first, second = row.text.split("\n")[-3:-1]
        answer = row.text[row.answer_start : row.answer_end]
        assert answer.startswith(hashes(first)[begins])
        assert first.endswith(answer.split("\n")[0])
        assert answer.endswith(second.removesuffix("'"))


def test_what_guessing_does():
    """Of four chains two are asked for: who leaves out the answer that was given before guesses among three."""
    final = made().iloc[0]
    assert final["exact_chance"] == pytest.approx(1 / 4 / 3)
    assert final["chance"] == pytest.approx((1 / 4 + 3 / 4 / 52 + 1 / 3 + 2 / 3 / 52) / 2)
    assert final["prior_bits"] == pytest.approx(2 * 6 * 5.7004397)
    chain = made(chain_of_thought=True, labels="chain", hops=[3]).iloc[0]
    guessed = (2 / 8 + 1 / 4 + 2 / 6 + 1 / 3) / 6
    assert chain["chance"] == pytest.approx(guessed + (1 - guessed) / 52)
    assert chain["prior_bits"] == pytest.approx(2 * 3 * 6 * 5.7004397)
    bare = made(context=False, alphabet="hex").iloc[0]
    assert (bare["exact_chance"], bare["chance"], bare["prior_bits"]) == (16**-6, 1 / 16, 24)


@pytest.mark.parametrize("chain_of_thought", [False, True])
def test_without_context_links_of_unseen_chains_are_trained_and_their_questions_are_not(chain_of_thought):
    table = made(context=False, chain_of_thought=chain_of_thought)
    assert table["text"].str.fullmatch(r"\w{6}( = \w{6})*( = '?\w{6}'?)\n").all()
    trained = set(table.loc[table["copies"] == 1, "text"].str.rstrip())
    unseen = table[table["split"] == "eval"]
    assert set(unseen["hops"]) == {1, 2, 3}
    assert unseen["copies"].eq(0).all()
    links = hash_hop.read_links("\n".join(sorted({*table.query("kind == 'link'")["text"].str.rstrip()})))
    for row in unseen.itertuples():
        first, last = hashes(row.text)[0], hashes(row.text)[-1]
        if row.hops == 1:
            assert not any(first in text or last in text for text in trained)
            continue
        assert hash_hop.walk(first, links)[-1] == last
        assert len(hash_hop.walk(first, links)) == row.hops
        assert row.text.rstrip() not in trained
    asked = table.query("kind == 'question' and hops == 3")
    direct = len({*asked.query("not chain_of_thought")["text"]})
    assert (direct == len(asked)) != chain_of_thought
    for row in table.itertuples():
        assert row.text[row.answer_start : row.answer_end] == hashes(row.text)[-1]


def test_without_context_every_link_and_as_many_questions_as_asked_are_trained():
    counts = made(context=False, hops=[1]).groupby(["split", "kind"]).size().to_dict()
    assert counts == {("train", "link"): 60, ("train", "question"): 60, ("eval", "question"): 10}
    counts = made(context=False, hops=[2], num_samples=10).groupby(["split", "kind"]).size().to_dict()
    # eval: medium and, as in training, direct, each of 5 samples
    assert counts == {("train", "link"): 10 * 8 + 10 * 8, ("train", "question"): 20, ("eval", "question"): 20}


@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("alphabet", hash_hop.ALPHABETS)
def test_all_characters_are_known(alphabet, context):
    change = {"alphabet": alphabet, "context": context, "num_samples": 100}
    known, there = set(data.characters(SETTINGS | change)), set("".join(made(**change)["text"]))
    assert there <= known
    assert known - there <= set("0123456789TrueFalse")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alphabet": "greek"}, "data.alphabet: 'greek' is not allowed; allowed: letters, alphanumeric, hex"),
        ({"hashes": "md5"}, "data.hashes: 'md5' is not allowed; allowed: random, digest"),
        ({"labels": "all"}, "data.labels: 'all' is not allowed; allowed: final, chain, quoted"),
        ({"n_queries": 5}, "data.n_queries: 5; allowed: 1 to n_chains, 4"),
        ({"hops": [1, 1]}, "data.hops: [1, 1]; allowed: different numbers of 1 or more"),
        ({"hops": []}, "data.hops: []; allowed: different"),
        ({"hops": [0, 1]}, "data.hops: [0, 1]; allowed: different"),
        ({"num_samples": 2}, "data.num_samples: 2; allowed: one for each of hops, [1, 2, 3]"),
        ({"context": False, "labels": "quoted"}, "data.labels: quoted, but without context links of more than one hop"),
        ({"hashes": "digest", "hash_length": 41}, "data.hash_length: 41; allowed of a digest: 1 to 40"),
        (
            {"hash_length": 1, "n_chains": 6},
            "data: hashes: 30 different ones are needed",
        ),
        (
            {"hash_length": 1, "eval_samples": 20},
            "data: 960 links in evaluation, of 2704 that there are; allowed: 861, so that 100 samples of 12 links have",
        ),
        (
            {"alphabet": "hex", "hash_length": 2, "n_chains": 25, "eval_samples": 65, "hops": [4]},
            "data: 16250 links in evaluation, of 65536 that there are; allowed: 2949, so that 100 samples of 100 links",
        ),
    ],
)
def test_a_mistake_is_one_line(change, message):
    data.check(SETTINGS, "data")
    data.check(SETTINGS | {"context": False, "labels": "quoted", "hops": [1]}, "data")
    with pytest.raises(ConfigurationError) as error:
        data.check(SETTINGS | change, "data")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
