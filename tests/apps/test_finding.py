import pytest
from command import paint, tree
from resemblance.core.apps.cli import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--threshold", "0"), "--threshold was 0.0; expected above 0"),
        (("--max-faces", "0"), "--max-faces was 0; expected 1 or more"),
        (("--device", "abacus"), "abacus"),
        (("--detector", "insightface", "--models-dir", "none"), "none"),
    ],
)
def test_bad_usage_of_finding_faces(tmp_path, capsys, arguments, words):
    paint(tmp_path / "a.png")
    assert main(["faces", str(tmp_path / "a.png"), "-o", str(tmp_path / "out"), *arguments]) == 2
    assert words in capsys.readouterr().err and tree(tmp_path) == ["a.png"]
