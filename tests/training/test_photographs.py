import csv

import numpy as np
from resemblance.core.training.photographs import OFF_CENTRE, Portrait, main_face, read_portraits


class Looks:
    """A detector that sees one box at a look, by the side [px] it looks at."""

    def __init__(self, boxes):
        self.boxes = boxes

    def detect(self, picture, input_size):
        box = self.boxes.get(input_size[0])
        boxes = np.array([] if box is None else [[*box, 0.9]], float).reshape(-1, 5)
        return boxes, np.full((len(boxes), 5, 2), 0.0 if box is None else box[0])


def test_the_main_face_is_large_and_central_whichever_look_finds_it():
    photo = np.zeros((200, 200, 3), np.uint8)
    edge, whole = (0, 0, 60, 60), (40, 40, 160, 160)
    assert main_face(photo, Looks({640: edge, 160: whole}))[0, 0] == 40
    # As large, but far off the centre: 70 px each way cost OFF_CENTRE * 9,800 px² of 3,600.
    assert OFF_CENTRE * 9800 > 3600
    assert main_face(photo, Looks({640: edge, 320: (90, 90, 110, 110)}))[0, 0] == 90
    assert main_face(photo, Looks({})) is None


def test_portraits_are_read_with_the_rows_they_have(tmp_path):
    with (tmp_path / "photographs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "person", "split", "scale"), ("lfw/a.jpg", "lfw-1", "val", "1.250")])
    np.full((1, 512, 512, 3), 7, np.uint8).tofile(tmp_path / "photographs_512.u8")
    faces, portraits = read_portraits(tmp_path)
    assert faces.shape == (1, 512, 512, 3) and (faces == 7).all()
    assert portraits == [Portrait(0, "lfw/a.jpg", "lfw-1", "val", 1.25)] and portraits[0].collection == "lfw"
