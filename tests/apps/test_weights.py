import json

import torch
from resemblance.core.apps.cli import main


def test_inspect(tmp_path, capsys):
    from safetensors.torch import save_file

    save_file({"some.weight": torch.zeros(3, 4, dtype=torch.float16)}, tmp_path / "a.safetensors")
    (tmp_path / "b.pth").write_bytes(b"<html>not found</html>")
    assert main(["inspect", str(tmp_path / "a.safetensors"), str(tmp_path / "b.pth")]) == 1
    first, second = json.loads(capsys.readouterr().out)
    assert first["architecture"] is None and first["parameters"] == 12 and first["dtypes"] == ["float16"]
    assert second["path"] == str(tmp_path / "b.pth") and "web page" in second["error"]
