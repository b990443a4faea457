import json
from html.parser import HTMLParser

import pandas as pd

from memorization.extraction.samples import samples_page


def prompts(**columns):
    rows = {
        "model": "mamba_m", "seed": 2, "role": "planted", "data_type": "code", "copies": [8, 8, 1, 0],
        "protocol": "fixed_start", "prefix_length": 48, "prefix": ["def f(", "x", "y", "z"],
        "suffix": ["a <b>", "same", "one", "two"], "continuation": ["a <c>", "same", "on ", ""],
    }  # fmt: skip
    return pd.DataFrame(rows | columns)


class Marked(HTMLParser):
    """The texts of a page by the class that they are marked with."""

    def __init__(self, page):
        super().__init__()
        self.found, self.open, self.made_by = [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if dict(attrs).get("name") == "made_by":
            self.made_by = json.loads(dict(attrs)["content"])
        if tag in ("span", "pre"):
            self.open.append(dict(attrs).get("class"))

    def handle_endtag(self, tag):
        if tag in ("span", "pre"):
            self.open.pop()

    def handle_data(self, data):
        if self.open:
            self.found.append((self.open[-1], data))


def test_what_is_reproduced_up_to_the_first_difference_is_marked_and_texts_are_escaped():
    page = Marked(samples_page(prompts(), 1, {"rule": "some"}))
    assert page.found[:5] == [
        ("given", "def f("), ("same", "a <"), ("other", "b>"), ("same", "a <"), ("other", "c>"),
    ]  # fmt: skip
    assert page.made_by == {"rule": "some"}


def test_so_many_windows_of_a_type_and_number_of_copies_are_shown_most_copies_first():
    given = [text for mark, text in Marked(samples_page(prompts(), 1, {})).found if mark == "given"]
    assert given == ["def f(", "y"]  # the second of 8 is one too many; nothing was generated of the last
    given = [text for mark, text in Marked(samples_page(prompts(), 2, {})).found if mark == "given"]
    assert given == ["def f(", "x", "y"]


def test_only_prompts_with_the_longest_prefix_that_start_where_their_windows_do_are_shown():
    table = prompts(
        prefix_length=[48, 48, 8, 48], protocol=["fixed_start", "fixed_suffix", "fixed_start", "fixed_start"]
    )
    given = [text for mark, text in Marked(samples_page(table, 9, {})).found if mark == "given"]
    assert given == ["def f("]
