import pytest
from command import paint, restore, tree


def test_patterns_and_doubles(tmp_path, fakes):
    paint(tmp_path / "in/a.png")
    paint(tmp_path / "in/b.png")
    paint(tmp_path / "in/[c].png")  # a name that looks like a pattern is a name first
    arguments = (tmp_path / "in/?.png", tmp_path / "in/a.png", tmp_path / "in/[c].png")
    assert restore(*arguments, "-o", tmp_path / "out") == 0
    assert tree(tmp_path / "out") == ["[c].png", "a.png", "b.png"]


def test_an_output_folder_inside_the_input_is_not_read_again(tmp_path, fakes):
    paint(tmp_path / "a.png")
    for _ in range(2):
        assert restore(tmp_path, "-o", tmp_path / "out", "--recursive") == 0
    assert tree(tmp_path) == ["a.png", "out/a.png"]


def test_nothing_is_done_where_an_input_would_be_overwritten(tmp_path, fakes, capsys):
    source = paint(tmp_path / "in/a.png")
    before = source.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for arguments in (
        (tmp_path / "in", "-o", tmp_path / "in"),
        (source, "-o", source),
        (source, "-o", tmp_path / "link"),
        (source, "-o", tmp_path / "link/a.png"),
        (source, "-o", tmp_path / "out", "--report", source),
    ):
        assert restore(*arguments, "--overwrite") == 2
        assert "would be overwritten" in capsys.readouterr().err
    assert source.read_bytes() == before and tree(tmp_path) == ["in/a.png"] and fakes == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("x/a.png", "y/a.png", "-o", "out"), "would both be written to"),
        (("x/a.png", "x/a.jpg", "-o", "out", "--format", "png"), "would both be written to"),
        (("x/a.png", "x/a.jpg", "-o", "out.png"), "2 pictures were given"),
        (("x", "-o", "x/a.png"), "2 pictures were given"),
        (("x/a.png", "-o", "b.png", "--format", "jpg"), "different formats"),
        (("x/a.png", "-o", "notes"), "is a file; expected a folder"),
        (("x/a.png", "-o", "out", "--report", "out/a.png"), "give another place"),
        (("x/a.png", "-o", "out", "--fidelity", "1.5"), "fidelity was 1.5; expected 0 to 1"),
        (("x/a.png", "-o", "out", "--strength", "2"), "--strength was 2; expected 0 to 1"),
        (("x/a.png", "-o", "out", "--format", "gif"), "invalid choice"),
        (("x/a.png", "-o", "out", "--aligned", "--scale", "2"), "--scale does nothing"),
        (("x/a.png",), "-o"),
    ],
)
def test_bad_usage(tmp_path, fakes, capsys, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    for name in ("x/a.png", "x/a.jpg", "y/a.png"):
        paint(tmp_path / name)
    (tmp_path / "notes").write_text("a file")
    before = tree(tmp_path)
    assert restore(*arguments) == 2
    assert words in capsys.readouterr().err
    assert tree(tmp_path) == before
