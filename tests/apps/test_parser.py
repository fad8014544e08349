import pytest
from resemblance.core.apps.cli import build_parser


def test_a_detector_as_it_was_called_before():
    assert build_parser().parse_args(["restore", "a.jpg", "--detector", "builtin"]).detector == "built-in"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["restore", "a.jpg", "--stength", "1"], "unrecognized arguments: --stength 1. Did you mean --strength?"),
        (["restore", "a.jpg", "--frmat", "png"], "Did you mean --format?"),
        (["restor", "a.jpg"], "Did you mean restore?"),
        (["restore", "a.jpg", "--detector", "bilt-in"], "Did you mean built-in?"),
        (["restore"], "the following arguments are required: PATHS. All that can be said: resemblance restore --help"),
        (["restore", "a.jpg", "--scale", "much"], "argument --scale: invalid float value: 'much'. All"),
        (["restore", "a.jpg", "--nothing-like-it"], "unrecognized arguments: --nothing-like-it. All that can be said"),
    ],
)
def test_what_is_wrong_is_one_line_with_what_was_meant(capsys, arguments, words):
    with pytest.raises(SystemExit) as stopped:
        build_parser().parse_args(arguments)
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and words in said and said.count("\n") == 1
