from pathlib import Path

import numpy as np
import torch


def test_faces_are_found_and_shown(run, comfy):
    truth = run("ExamplePhoto", name="two people")[1]
    output = run("DetectFaces", image=truth, detector="built-in")
    faces, boxes = output.args
    assert [face.index for face in faces.faces] == [0, 1] and faces.photos == (tuple(truth.shape[1:3]),)
    assert all(face.quality.sharpness > 0.5 for face in faces.faces)
    (left, right), width = boxes[0], truth.shape[2]
    assert left["x"] + left["width"] / 2 < width / 2 < right["x"] + right["width"] / 2
    assert abs(left["x"] - faces.faces[0].box[0]) < 1 and left["score"] == faces.faces[0].score
    files = output.ui.as_dict()["images"]
    assert len(files) == 1 and (Path(comfy.folder_paths.temp_directory) / files[0]["filename"]).is_file()
    again = run("FacesFromBoxes", image=truth, boxes=boxes)[0]
    for a, b in zip(faces.faces, again.faces, strict=True):  # landmarks are found again in the boxes
        assert np.abs(np.array(a.landmarks) - np.array(b.landmarks)).max() < 3
    right_only, count = run("SelectFaces", faces=faces, indices="2").args
    assert count == 1 and right_only.faces == faces.faces[1:] and right_only.photos == faces.photos


def test_a_detector_of_an_old_graph_is_known(run, nodes):
    truth = run("ExamplePhoto", name="woman")[1]
    assert len(run("DetectFaces", image=truth, detector="builtin")[0]) == 1
    detect, restore = nodes["ResemblanceDetectFaces"].validate_inputs, nodes["ResemblanceRestoreFaces"].validate_inputs
    assert detect("builtin") is detect(None) is restore(["builtin"]) is restore([None]) is restore() is True
    assert "expected one of auto, built-in" in detect("dlib")
    assert "expected one of auto, built-in" in restore(["auto", "dlib"])


def test_the_preview_stays_small(run, comfy, monkeypatch):
    from PIL import Image

    output = run("DetectFaces", image=torch.full((20, 8, 1200, 3), 0.5), detector="built-in")
    files = output.ui.as_dict()["images"]
    assert len(files) == 16 and len(output[0].photos) == 20 and output[1] == [[]] * 20
    assert Image.open(Path(comfy.folder_paths.temp_directory) / files[0]["filename"]).width == 1024
