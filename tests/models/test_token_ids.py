import json

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer

from memorization.models.token_ids import same_ids


def byte_pairs(size=270, texts=("the cat sat on the mat",)):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=size, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False)
    tokenizer.train_from_iterator(texts * 4, trainer)
    return tokenizer


def test_tokenizers_are_the_same_where_texts_get_the_same_ids():
    written = json.loads(byte_pairs().to_str())
    written["model"]["merges"] = [" ".join(pair) for pair in written["model"]["merges"]]  # as older versions write them
    written["pre_tokenizer"]["trim_offsets"] = not written["pre_tokenizer"]["trim_offsets"]
    written["version"] = "1.0"
    written["model"] |= {"continuing_subword_prefix": "", "end_of_word_suffix": ""}  # as others write none
    first = Tokenizer.from_str(json.dumps(written, indent=7))
    assert same_ids(first, byte_pairs())
    fewer, normal, added, split, whole = byte_pairs(265), *(byte_pairs() for _ in range(4))
    normal.normalizer = normalizers.Lowercase()
    split.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    added.add_tokens([AddedToken("<added>")])
    whole.model.ignore_merges = True
    for other in (fewer, byte_pairs(texts=("a dog and a log",)), normal, added, split, whole):
        assert not same_ids(first, other)


def test_an_unknown_token_of_id_0_is_not_none():
    with_unknown, without = (Tokenizer(models.Unigram([("a", -1.0), ("b", -2.0)], unknown)) for unknown in (0, None))
    assert not same_ids(with_unknown, without)
