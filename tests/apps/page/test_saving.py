import zipfile

import numpy as np
import pytest
from pages import MAN, TWO, WOMAN, take
from PIL import Image
from resemblance.core.apps.page import limits
from resemblance.core.apps.page.graph import Settings
from resemblance.core.apps.page.limits import Run
from resemblance.core.apps.page.saving import free, packed, restore


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_photograph_is_saved_whole_with_what_belongs_to_it(session, tmp_path, suffix):
    exif = Image.Exif()
    exif[0x010E] = "Grandfather, 1952"
    source = tmp_path / "grandfather.jpg"
    Image.open(TWO).save(source, exif=exif, quality=95, dpi=(300, 300))
    take(session, [source])
    session.opened.chosen.discard(0)
    (begun, step) = restore(session, [source], Settings(), suffix, Run.begin())
    assert (begun.done, step.done, step.file.name) == (0, 1, f"grandfather_restored{suffix}")
    before, after = Image.open(source), Image.open(step.file)
    assert after.size == before.size and after.getexif()[0x010E] == "Grandfather, 1952"
    if suffix == ".png":
        changed = np.any(np.array(before) != np.array(after), axis=2)
        x0, _, x1, _ = session.opened.faces[1].box
        assert changed.any() and not changed[:, : int(x0 - (x1 - x0))].any()
    (*_, again) = restore(session, [source], Settings(content=0), suffix, Run.begin())
    assert again.file != step.file and step.file.is_file()


def test_several_photographs_go_on_when_one_fails(session, tmp_path):
    gone = tmp_path / "gone.jpg"
    gone.write_bytes(MAN.read_bytes())
    take(session, [gone, WOMAN])
    session.opened = None
    gone.unlink()
    steps = list(restore(session, [gone, WOMAN], Settings(), ".jpg", Run.begin()))
    assert [(step.failed, step.file is not None) for step in steps] == [
        (False, False),
        (True, False),
        (False, False),
        (False, True),
    ]


def test_photographs_are_packed_as_they_are(session, monkeypatch):
    take(session, [MAN, WOMAN])
    files = [step.file for step in restore(session, [MAN, WOMAN], Settings(), ".png", Run.begin()) if step.file]
    archive = packed(session, files)
    with zipfile.ZipFile(archive) as found:
        assert found.testzip() is None and found.namelist() == [
            "man_damaged_restored.png",
            "woman_damaged_restored.png",
        ]
        assert [found.read(file.name) for file in files] == [file.read_bytes() for file in files]
    assert packed(session, files) != archive
    monkeypatch.setattr(limits, "OWN_MEGABYTES", 0.001)
    with pytest.raises(ValueError, match="the limit is"):
        packed(session, files)


def test_a_name_is_given_once(tmp_path):
    for name in ("a.png", "a_2.png", "a_3.png"):
        assert free(tmp_path, "a", ".png").name == name
        (tmp_path / name).touch()
