from dataclasses import fields

import torch
from resemblance.core.files.photo import Carried, Photo


def test_what_is_carried_passes_from_photograph_to_photograph():
    carried = Carried(xmp=b"<x/>", text=(("Comment", "hello"),), dpi=(300, 300))
    photo = Photo(torch.zeros(3, 1, 1), **vars(carried))
    assert {field.name: getattr(photo, field.name) for field in fields(Carried)} == vars(carried)
    assert photo != Photo(torch.zeros(3, 1, 1))  # pictures are compared by their pixels, not as records
