"""The four forms of regulated Chinese verse: four or eight lines of five or seven characters."""

import re

FORMS = {(4, 5), (4, 7), (8, 5), (8, 7)}


def lines_of(body):
    """The lines of a poem without their punctuation."""
    return [line for line in re.split("[，。？！；]", body) if line]


def form(body):
    """(lines, characters a line) if the body is Chinese characters in a known form, else None."""
    if not re.fullmatch("[\u4e00-\u9fff，。？！；]+", body):
        return None
    lines = lines_of(body)
    shape = (len(lines), len(lines[0]) if lines else 0)
    return shape if shape in FORMS and all(len(line) == shape[1] for line in lines) else None
