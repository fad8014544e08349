import pytest
from resemblance.core.training.assets import FILES, asset


def test_a_file_lies_below_the_folder_that_is_given_or_set(tmp_path, monkeypatch):
    for root in (tmp_path / "given", tmp_path / "set"):
        (root / FILES["alexnet"]).parent.mkdir(parents=True)
        (root / FILES["alexnet"]).touch()
    monkeypatch.setenv("RESEMBLANCE_ASSETS", str(tmp_path / "set"))
    assert asset("alexnet", tmp_path / "given") == tmp_path / "given" / FILES["alexnet"]
    assert asset("alexnet") == tmp_path / "set" / FILES["alexnet"]


def test_what_is_missing_is_said_with_what_to_install(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=rf"'vgg16' was expected at .*: run 'pip install .*{tmp_path.name}"):
        asset("vgg16", tmp_path)
    monkeypatch.delenv("RESEMBLANCE_ASSETS", raising=False)
    with pytest.raises(FileNotFoundError, match=r"for 'vgg16': pass --assets or set RESEMBLANCE_ASSETS .*pip install"):
        asset("vgg16")
