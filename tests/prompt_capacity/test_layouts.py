import pytest

from memorization.prompt_capacity.layouts import NAMED, OF_QUESTIONS, layout_name, layout_of, place_of_text


@pytest.mark.parametrize("layout", [*NAMED, *OF_QUESTIONS, 0, 3, 12])
def test_a_name_in_a_file_is_of_one_layout(layout):
    assert layout_of(layout_name(layout)) == layout
    assert isinstance(layout_of(layout_name(layout)), type(layout))


def test_a_number_of_tokens_has_a_name_that_a_file_may_have():
    assert layout_name(3) == "offset3"
    assert layout_name("infix") == "infix"


@pytest.mark.parametrize(
    ("layout", "place"), [("prefix", 0), ("solo", 0), ("infix", 3), ("infix_masked", 3), (0, 0), (2, 2), (3, 3)]
)
def test_a_layout_says_how_many_tokens_of_the_id_are_before_p(layout, place):
    assert place_of_text(layout, 3) == place


@pytest.mark.parametrize("layout", [4, -1])
def test_p_stands_not_in_the_text_that_it_is_to_bring_forth(layout):
    with pytest.raises(
        ValueError, match=rf"^layout: P behind {layout} tokens, but the ID has 3; allowed: 0 to 3$"
    ) as error:
        place_of_text(layout, 3)
    assert "\n" not in str(error.value)


def test_a_layout_of_questions_is_none_of_texts():
    with pytest.raises(
        ValueError, match=r"^layout: 'suffix' is not one of prefix, infix, infix_masked, solo, or a num"
    ):
        place_of_text("suffix", 3)
