import importlib.util

import pytest
import torch
from torch.nn import functional as F

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)

from resemblance.core.training.code_blending_table import METRICS, as_text, choose_references

NAMES = ["001_neutral", "001_smiling", "002_neutral", "002_smiling", "003_neutral", "003_smiling"]


def test_references_have_the_other_expression_and_are_whose_they_should_be():
    # 003 looks like 001, and nobody like 002 more than 001 does.
    who = torch.tensor([[1.0, 0.0, 0.0], [0.3, 1.0, 0.0], [1.0, 0.0, 0.5]])
    chosen = choose_references(NAMES, F.normalize(who, dim=1).repeat_interleave(2, 0))
    assert chosen["right"] == [[1], [0], [3], [2], [5], [4]]
    assert chosen["wrong"] == [[3], [2], [5], [4], [1], [0]]  # the next person's
    assert chosen["lookalike"] == [[5], [4], [1], [0], [1], [0]]
    assert chosen["right and wrong"] == [[1, 3], [0, 2], [3, 5], [2, 4], [5, 1], [4, 0]]


def test_two_faces_of_one_person_are_one_trial():
    scores = {metric: torch.tensor([1.0, 3.0, 2.0, 2.0, 0.0, 4.0]) for metric in METRICS}
    text = as_text({"severe": {"none": scores, "right, strength 1": scores}}, NAMES)
    cells = ["2.000 (2.000 to 2.000)"] * len(METRICS)  # all people have a mean of 2
    changes = [f"+{cell.replace('(', '(+').replace('to ', 'to +')}" for cell in cells]
    assert text.splitlines()[2:] == [
        f"| severe | none | {' | '.join(cells)} |",
        f"| severe | right, strength 1 | {' | '.join(changes)} |",
    ]
