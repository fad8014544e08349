import logging

import pytest
import torch
from resemblance.core.batches import batch_size, check_faces, face_batches, in_batches

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_a_cpu_takes_one_face_at_a_time_and_a_device_eight():
    assert (batch_size(CPU), batch_size(GPU)) == (1, 8)
    faces = torch.rand(19, 1, 1, 1).expand(-1, 3, 512, 512)
    for device, sizes in ((CPU, [1] * 19), (GPU, [8, 8, 3])):
        batches = face_batches(faces, device)
        assert [len(batch) for batch in batches] == sizes and torch.equal(torch.cat(batches)[:, 0, 0], faces[:, 0, 0])
    assert face_batches(faces[:0], CPU) == []


@pytest.mark.parametrize("shape", [(3, 512, 512), (1, 1, 512, 512), (1, 3, 512, 256), (1, 3, 256, 256)])
def test_other_shapes_are_no_faces(shape):
    with pytest.raises(
        ValueError, match=r"torch.float32 of shape .*; expected aligned faces, float, \(N, 3, 512, 512\)"
    ):
        check_faces(torch.zeros(shape))


def test_work_goes_on_with_half_as_many_from_where_it_failed(caplog):
    asked = []

    def work(part):
        asked.append((part.start, part.stop))
        if part.stop - part.start > 3:
            raise torch.cuda.OutOfMemoryError("no room")
        return part.stop - part.start

    with caplog.at_level(logging.WARNING):
        assert in_batches(7, 8, work) == [2, 2, 2, 1]
    assert asked == [(0, 7), (0, 4), (0, 2), (2, 4), (4, 6), (6, 7)]
    assert [record.args for record in caplog.records] == [(4,), (2,)]
    assert in_batches(0, 8, work) == []


def test_one_face_that_is_too_much_ends_the_work():
    def work(part):
        raise torch.cuda.OutOfMemoryError("no room")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        in_batches(2, 2, work)
