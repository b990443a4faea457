import pytest

from memorization.extraction.prompts import longest_prompt, prompts, tokens_needed

LENGTHS = [[8, 16], [48, 16], [16, 4]]


def test_prefixes_begin_with_the_window_or_end_where_the_longest_does():
    tokens = list(range(64))
    cuts = {(each.protocol, each.prefix_length): each for each in prompts(LENGTHS)}
    assert list(cuts) == [(protocol, n) for protocol in ("fixed_start", "fixed_suffix") for n in (8, 48, 16)]
    for (protocol, prefix), prompt in cuts.items():
        suffix = dict(LENGTHS)[prefix]
        asked, wanted = tokens[prompt.start : prompt.suffix_start], tokens[prompt.suffix_start : prompt.end]
        assert (len(asked), len(wanted)) == (prefix, suffix) == (prompt.prefix_length, prompt.suffix_length)
        assert asked[-1] + 1 == wanted[0]
        if protocol == "fixed_start":
            assert asked[0] == 0
        else:
            assert wanted[0] == 48


def test_the_longest_prompt_is_the_same_in_both_protocols():
    from_start, to_suffix = (each for each in prompts(LENGTHS) if each.prefix_length == 48)
    assert from_start.cut == to_suffix.cut == (0, 48, 64)
    assert longest_prompt(LENGTHS) == from_start


def test_a_window_needs_as_many_tokens_as_its_longest_prompts():
    assert tokens_needed(LENGTHS) == 64
    assert tokens_needed([[50, 10], [32, 32]]) == 82  # a suffix of 32 behind 50 tokens


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([], "there is no pair of a prefix and a suffix"),
        ([[8, 16], [0, 16]], r"\[0, 16\], but a prefix and a suffix have at least 1 token"),
        ([[8, 0]], r"\[8, 0\], but a prefix and a suffix have at least 1 token"),
        ([[8, 16], [8, 4]], r"a prefix stands twice in \[8, 8\]"),
    ],
)
def test_lengths_that_are_no_prompts_are_refused(lengths, message):
    with pytest.raises(ValueError, match=f"^lengths: {message}$"):
        prompts(lengths)
