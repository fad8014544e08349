"""The console command ``resemblance``: its options, and which room carries out what."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from .arguments import (
    AppArguments,
    EvaluateArguments,
    FacesArguments,
    InspectArguments,
    ReferencesArguments,
    RestoreArguments,
)
from .parser import USAGE, Parser

# Rooms are loaded when called: --help stays quick.
COMMANDS: dict[str, tuple[str, type]] = {
    "restore": (".restore", RestoreArguments),
    "references": (".references", ReferencesArguments),
    "faces": (".faces", FacesArguments),
    "inspect": (".weights", InspectArguments),
    "evaluate": (".evaluate", EvaluateArguments),
    "app": (".page", AppArguments),
}
FOLDERS = {"restore": "restored", "faces": "found"}  # for results that nobody named a place for
EVALUATED = ("none", "one", "three", "five", "wrong", "lookalike", "decided", "decided-wrong")  # rows of the table
EXIT_CODES = (
    "exit codes: 0 all done; 1 some not (see the messages); 2 cannot be carried out, nothing was done; 130 interrupted"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments without the program's name; None takes the process's own.

    Returns:
        The exit code, as ``EXIT_CODES`` says.
    """
    parser = build_parser()
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:  # argparse has said why
        return int(stop.code or 0)
    from .console import INTERRUPTED, say, spoken_log
    from .files import UsageError, folder_beside

    place, kind = COMMANDS[args.command]
    room = import_module(place, __package__)
    with spoken_log() as stdout, _terminate_like_interrupt():
        try:
            given = {name: value for name, value in vars(args).items() if name != "command"}
            if given["device"] == "auto":
                given["device"] = _best_device()
            if "out" in given and given["out"] is None:
                given["out"] = folder_beside(given["paths"], FOLDERS[args.command])
                say(f"Results go to {given['out']}; -o names another place.")
            return room.run(kind(**given), stdout)
        except UsageError as error:
            say(f"resemblance {args.command}: {error}")
            return USAGE
        except OSError as error:  # a report that cannot be written; the pictures are done
            say(f"Failed: {error}")
            return 1
        except KeyboardInterrupt:
            say("Interrupted.")
            return INTERRUPTED


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = Parser(prog="resemblance", description="Restore faces in photographs, offline.", epilog=EXIT_CODES)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    restore = commands.add_parser("restore", help="restore the faces of pictures", epilog=EXIT_CODES)
    _add_paths(restore)
    _add_out(restore, "restore", "folder for the results, or a file when one picture is given")
    restore.add_argument(
        "--weights", type=Path, help="another restorer: .pth, .safetensors or .onnx (default: built-in)"
    )
    restore.add_argument(
        "--fidelity",
        type=float,
        metavar="0..1",
        help="0 leans on what was learned, 1 on what is seen (default: restorer's)",
    )
    restore.add_argument(
        "--strength",
        type=float,
        metavar="0..1",
        help="how much to blend in (default: by damage; sharp faces are left alone)",
    )
    restore.add_argument(
        "--min-sharpness", type=float, default=0.0, metavar="0..1", help="leave faces alone that are blurrier than this"
    )
    restore.add_argument("--scale", type=float, default=1.0, help="enlarge the pictures by this factor (default: 1)")
    restore.add_argument(
        "--no-grain", dest="grain", action="store_false", help="do not give faces the grain of their photographs"
    )
    restore.add_argument(
        "--strict", action="store_true", help="refuse a JPEG that is cut short (default: restore what is there)"
    )
    restore.add_argument(
        "--damage-mask",
        type=Path,
        metavar="FILE",
        help="white where folds, scratches and tears are; or a folder of such pictures, named as the photographs",
    )
    restore.add_argument(
        "--no-mend", dest="mend", action="store_false", help="do not look for folds and scratches on faces to fill them"
    )
    restore.add_argument(
        "--aligned", action="store_true", help="pictures are square face crops, aligned as FFHQ's; results are 512 px"
    )
    restore.add_argument(
        "--format", choices=("png", "jpg", "webp", "tif", "bmp"), help="format of results (default: as is)"
    )
    restore.add_argument(
        "--quality", type=int, choices=range(1, 101), default=95, metavar="1..100", help="of JPEG and WebP"
    )
    restore.add_argument(
        "--report", type=_file_or_stdout, metavar="FILE", help="write what was done as JSON ('-': to stdout)"
    )
    _add_references(restore)
    _add_refinement(restore)
    _add_detection(restore)

    references = commands.add_parser(
        "references", help="encode photographs of people once, for --reference; JSON on stdout", epilog=EXIT_CODES
    )
    references.add_argument(
        "paths", nargs="+", metavar="PATHS", help="photographs of one person, or a folder for each person"
    )
    references.add_argument("-o", "--out", type=Path, required=True, help="a .safetensors file")
    references.add_argument("--weights", type=Path, help="the restorer that is to use them (default: built-in)")
    references.add_argument("--overwrite", action="store_true", help="replace the file where it is there")
    _add_embedder(references)
    _add_networks(references.add_argument_group("finding faces"))

    faces = commands.add_parser("faces", help="show which faces are found, numbered", epilog=EXIT_CODES)
    _add_paths(faces)
    _add_out(faces, "faces", "folder for the previews, or a file when one picture is given")
    faces.add_argument("--json", action="store_true", help="all that was found as JSON, for programs")
    _add_detection(faces)

    inspect = commands.add_parser("inspect", help="say what files of weights are, as JSON on stdout", epilog=EXIT_CODES)
    inspect.add_argument(
        "weights", type=Path, nargs="*", metavar="WEIGHTS", help="files (default: the built-in restorer)"
    )
    inspect.set_defaults(device="cpu")

    evaluate = commands.add_parser(
        "evaluate",
        help="damage good photographs, restore them and compare with the truth; a table on stdout",
        epilog=EXIT_CODES,
    )
    evaluate.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help="a folder of photographs: with a folder for each person, or with manifest.csv (path, person, split)",
    )
    evaluate.add_argument("--split", default="val", metavar="NAME", help="of a manifest (default: val)")
    evaluate.add_argument("--only", metavar="FOLDER", help="photographs below this folder of DATA alone")
    evaluate.add_argument(
        "--half",
        choices=("odd", "even", "all"),
        default="all",
        help="every other person: choose settings by the odd, report on the even ones (default: all)",
    )
    evaluate.add_argument("--limit", type=int, metavar="N", help="only the first so many photographs: a rehearsal")
    evaluate.add_argument(
        "--damage",
        nargs="+",
        choices=("light", "moderate", "severe"),
        default=("moderate", "severe"),
        help="how badly the photographs are damaged (default: moderate severe)",
    )
    evaluate.add_argument(
        "--references",
        nargs="+",
        choices=EVALUATED,
        default=EVALUATED,
        help="photographs of the person, of a stranger or of a lookalike, named by hand; or five of the person or of a "
        "stranger, and the product decides (default: all; none is always there)",
    )
    evaluate.add_argument(
        "--metrics", nargs="+", metavar="NAME", help="only these of the numbers, such as edgeface lpips_alex"
    )
    evaluate.add_argument(
        "--truth", type=float, metavar="PX", help="how wide a face must be to be the truth at 512 px (default: 213)"
    )
    evaluate.add_argument("--refine", type=int, metavar="0..8", help="steps of refinement (default: restorer's)")
    evaluate.add_argument(
        "--weights", type=Path, nargs="+", default=[], metavar="FILE", help="other restorers, a row each"
    )
    evaluate.add_argument(
        "--assets", type=Path, metavar="FOLDER", help="with the networks that judge (default: $RESEMBLANCE_ASSETS)"
    )
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    evaluate.add_argument("--grid", type=Path, metavar="FILE", help="draw a few people, all rows beside each other")
    evaluate.add_argument("--device", default="auto", help="cpu, cuda, mps … (default: the best there is)")

    app = commands.add_parser("app", help="open a web page that restores photographs", epilog=EXIT_CODES)
    app.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this computer alone)"
    )
    app.add_argument("--port", type=int, default=7860, help="default: 7860; 0 takes a free one")
    app.add_argument(
        "--name",
        dest="names",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name that the page is asked for by: that of a server in front of it",
    )
    _add_networks(app.add_argument_group("finding faces"))
    return parser


def _add_paths(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", metavar="PATHS", help="pictures, folders, or patterns such as 'photos/*.jpg'"
    )
    parser.add_argument(
        "--recursive", action="store_true", help="also the folders in a folder; results keep their places"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that are there (default: leave them)")


def _add_references(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "references",
        "Good photographs of the people in the pictures, to take texture from. A face that grows more like them is no "
        "proof that it is the true one: likeness rises by copying alone.",
    )
    group.add_argument(
        "--reference",
        nargs="+",
        action="extend",
        metavar="PATH",
        help="photographs of one person, a folder for each person, or what 'resemblance references' saved",
    )
    group.add_argument(
        "--match",
        metavar="1=ANNA,2=none",
        help="who is who, by the numbers that 'resemblance faces' shows, in every picture (default: by likeness)",
    )
    _add_embedder(group)
    group.add_argument(
        "--match-threshold",
        type=float,
        metavar="0..1",
        help="how sure it must be that a face shows a person (default: 0.5)",
    )
    group.add_argument(
        "--reference-strength", type=float, default=1.0, metavar="0..1", help="how much to take (default: 1)"
    )
    group.add_argument(
        "--maps", type=Path, metavar="FOLDER", help="show there what came from which reference, and what was invented"
    )


def _add_refinement(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "refinement",
        "The built-in restorer only: what a damaged face only hints at is drawn towards what faces look like.",
    )
    group.add_argument("--refine", type=int, metavar="0..8", help="steps; 0 is off (default: restorer's)")
    group.add_argument(
        "--identity",
        type=float,
        metavar="0..1",
        help="how strongly to hold it to the person, by the face and its references; slow (default: 0)",
    )
    group.add_argument("--seed", type=int, metavar="N", help="another one, another face (default: 0)")
    group.add_argument(
        "--candidates", type=int, metavar="1..8", help="make so many of each face, take the one most alike (default: 1)"
    )


def _add_out(parser: argparse.ArgumentParser, command: str, what: str) -> None:
    where = f"{what} (default: '{FOLDERS[command]}' beside the first picture)"
    parser.add_argument("-o", "--out", type=Path, help=where)


def _add_embedder(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--embedder",
        choices=("built-in", "insightface"),
        default="built-in",
        help="what tells people apart: the built-in network, or insightface's on clean faces and the built-in one on "
        "damaged ones (default: built-in)",
    )


def _add_detection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("finding faces")
    _add_networks(group)
    group.add_argument(
        "--threshold", type=float, default=0.5, metavar="0..1", help="how sure to be of a face (default: 0.5)"
    )
    group.add_argument(
        "--min-size", type=float, default=16.0, metavar="PX", help="leave smaller faces out (default: 16)"
    )
    group.add_argument("--max-faces", type=int, metavar="N", help="at most so many in a picture, the largest")
    group.add_argument(
        "--order",
        choices=("left-right", "top-bottom", "large-small", "score"),
        default="left-right",
        help="of the numbers",
    )


def _add_networks(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--detector", type=_detector, choices=("auto", "built-in", "insightface", "facexlib"), default="auto"
    )
    group.add_argument("--models-dir", type=Path, help="folder with the files of insightface or facexlib")
    group.add_argument("--device", default="auto", help="cpu, cuda, mps … (default: the best there is)")


def _detector(text: str) -> str:
    return "built-in" if text == "builtin" else text  # as it was before 0.1.0


def _file_or_stdout(text: str) -> Path | str:
    return text if text == "-" else Path(text)


def _best_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@contextmanager
def _terminate_like_interrupt() -> Iterator[None]:
    """A polite kill (SIGTERM) ends the work as Ctrl-C does: cleanly, with a report."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
