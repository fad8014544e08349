import json

import torch
from command import paint
from resemblance.core.apps.cli import main
from resemblance.core.files.images import read_photo


def test_faces_are_numbered_and_listed(tmp_path, fakes, capsys):
    paint(tmp_path / "in/a.png")
    (tmp_path / "in/b.png").write_bytes(b"")
    assert main(["faces", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--json"]) == 1
    first, second = json.loads(capsys.readouterr().out)
    assert first["preview"] == str(tmp_path / "out/a.png") and first["faces"][0]["box"] == [0, 0, 100, 100]
    assert "empty" in second["error"]
    preview = read_photo(tmp_path / "out/a.png").pixels
    assert preview.shape == (3, 120, 160)
    assert not torch.equal(preview, read_photo(tmp_path / "in/a.png").pixels)
    before = (tmp_path / "out/a.png").read_bytes()
    (tmp_path / "out/a.png").write_bytes(b"mine")
    main(["faces", str(tmp_path / "in"), "-o", str(tmp_path / "out")])
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"{tmp_path / 'in/a.png'}: 1 face",
        "  face 1: 100x100 px, 90% sure",
        f"{tmp_path / 'in/b.png'}: failed",
    ]
    assert (tmp_path / "out/a.png").read_bytes() == b"mine"
    main(["faces", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--overwrite"])
    assert (tmp_path / "out/a.png").read_bytes() == before
