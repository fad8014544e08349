"""All that the page says, in one place; whatever comes from a visitor is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from ...faces.preview import COLOURS
from ...files.images import FORMATS
from ...sentences import condition
from .faces import DrawnFace
from .graph import Settings
from .limits import MEGABYTES, PHOTOS, REFERENCES
from .people import Matched, Served, Verdict
from .session import Opened

# The head, and what is seen before there is a photo.
TITLE = "Resemblance"
ALONE = "Nothing leaves this computer."
SERVED = (
    "Your photos stay on the computer that serves this page, are shown to nobody else, and are deleted after an hour."
)
HEADLINE = "Bring back the faces in old photos"
PITCH = (
    "Blurred, noisy, faded or tiny: drop a photo and see the faces restored. With good photos of the same people "
    "they come back as themselves."
)
DROP = "Drop photos here, or click to choose them"
_KINDS = ", ".join(dict.fromkeys(f.strip(".").upper().replace("JPG", "JPEG").replace("TIFF", "TIF") for f in FORMATS))
TAKES = f"{_KINDS}; up to {PHOTOS}, of {MEGABYTES} MB each"
MOVING = "A damaged photo, restored with two good ones of the same person"
EXAMPLES = "Or try an example"
RUINED, WITH_OTHERS, GROUP = "Badly damaged", "With good photos of the same man", "Two people"
SENDING = {
    "sending": "Sending …",
    "offline": "The page does not answer. Is the program still running?",
    "away": "Remove",
}

# The photo.
PHOTO_BEFORE, PHOTO_AFTER = "The photo before", "The photo after"
BEFORE, AFTER = "Before", "After"
LINE = "Line between before and after"
HOLD, NEARER, FARTHER, FIT = "Hold to see the original", "Nearer", "Farther away", "Fit"
PHOTOS_LABEL, ADD = "Photos", "Add photos"
LOOKING = "Looking for faces …"
WORKING = "Restoring …"
SAVED, EARLIER = "✓ saved", "saved with other settings"
WHOLE, ONE, GUESSED, TAKEN = "Whole photo", "This face", "What was guessed", "From your photos"
SHOW = "Show"

# The people.
PEOPLE = "People"
RESTORE, ALL, NONE = "Restore", "All", "None"
BETTER = "Add better photos of these people"
BETTER_HINT = f"We match each photo to the right person. Group photos are fine. Up to {REFERENCES}."
RAIL = SENDING | {
    "whose": "Who is this?",
    "recognised": "Match it for me",
    "nobody": "Nobody here",
    "restore": "Restore",
    "show": "Show",
    "add": "Add better photos",
    "only": "Only this",
    "unused": "Not used",
}

# The look.
LOOK = "Look"
FAITHFUL, BALANCED, STRONG, OWN = "Faithful", "Balanced", "Strong", "Your own"
ADJUST = "Adjust"
CLOSE, CLOSE_HINT = (
    "Stay close to the original",
    "Lower it when damage still shows, raise it when the person looks different.",
)
SHARPEN, SHARPEN_HINT = "Sharpen skin and hair", "0 leaves the photo's own texture, with its blur."
OTHERS, OTHERS_HINT = "Take from your other photos", "Lower it when a face takes on too much of them."
REBUILD, REBUILD_HINT = "Rebuild very damaged faces (guesses more)", "For faces that are hardly there. 0 is off."

# How true it is, and saving it.
WHERE = "Show where"
SAVE = "Save"
SAVE_ONE, SAVE_ALL, STOP, STOPPING = "Save photo", "Save all (ZIP)", "Stop", "Stopping …"
FORMAT = "As"
PNG, JPEG = "PNG", "JPEG (smaller)"
ONLY_FACES = "Only faces are restored. Everything around them stays exactly as it is, blur included."
GRAPH, GRAPH_SAVE = "Use it in ComfyUI", "Save the ComfyUI workflow"
GRAPH_HINT = (
    "It does the same steps. Copy this photo and your other photos into ComfyUI's folder 'input'; "
    "it loads them by name."
)
GONE = "Photos are kept for an hour; yours are deleted. Choose them again."
CLEARLY = 0.05  # a likeness that moved by less is not called a change


def head(alone: bool) -> str:
    """The line at the top."""
    return f'<header class="top"><h1>{TITLE}</h1><p>{ALONE if alone else SERVED}</p></header>'


def status(text: str, kind: str = "note") -> str:
    """A line that screen readers speak; `kind` is ``note``, ``good`` or ``bad``."""
    return f'<p class="say {kind}" role="status">{escape(text)}</p>' if text else ""


def statuses(lines: Sequence[tuple[str, str]]) -> str:
    """Several (text, kind) lines."""
    return "".join(status(text, kind) for text, kind in lines)


def saved(name: str, url: str) -> str:
    """Where a file is that was just saved."""
    link = f'<a href="{url}" download="{escape(name)}">Save it again</a>'
    return f'<p class="say good" role="status">{escape(name)} is in your downloads. {link}</p>'


def found(opened: Opened) -> tuple[str, str]:
    """What is to be said of the faces that were found; nothing where all is plain."""
    number = len(opened.faces)
    if not number:
        return "No face was found in this photo, so there is nothing to restore. Try a larger scan of it.", "bad"
    if opened.more:
        return (
            f"More than {number} faces were found; the page takes the {number} largest. The command "
            "'resemblance restore' takes all.",
            "note",
        )
    if not opened.chosen:
        one = "The face looks" if number == 1 else "The faces look"
        return f"{one} sharp already. Tick {'it' if number == 1 else 'those'} to restore all the same.", "note"
    return "", "note"


def name(face: int) -> str:
    """What a face is called; faces are numbered from 0."""
    return f"Face {face + 1}"


def state(opened: Opened, face: int, matched: Matched) -> str:
    """What is said under a face's name."""
    if face in opened.doubtful:
        return "Probably not a face"
    quality = opened.faces[face].quality
    damage = condition(quality.severity if quality else 1.0).capitalize()
    match = matched.matches[face]
    if not match or not match.person:
        return damage
    return f"{damage}; {'as you said' if match.by_hand else f'{match.chance or 0.0:.0%} sure'}"


def verdict(found: Verdict) -> str:
    """What became of a better photo."""
    if found.left_out:
        return "Left out, as you said."
    if found.problem:
        return f"Not used: {found.problem[:1].lower()}{found.problem[1:].rstrip('.')}."
    if found.serves:
        less = f" It counts for less: {found.doubt}." if found.doubt else ""
        return f"Used for {' and '.join(map(_served, found.serves))}.{less}"
    if not found.likeliest:
        return "Not used: there is no face to use it for."
    face, sure = found.likeliest
    if found.taken:
        return f"Not used: face {face + 1} is matched to another person's photos."
    return (
        f"Not used: no face here is likely to be this person (the likeliest is face {face + 1}, {sure:.0%} sure). "
        "If you know whose it is, choose the face."
    )


def _served(served: Served) -> str:
    if served.doubtful:
        return f"face {served.face + 1}, as you said, but probably somebody else ({served.chance:.0%} likely)"
    return f"face {served.face + 1} ({'as you said' if served.by_hand else f'{served.chance:.0%} sure'})"


def trust(drawn: DrawnFace, face: int, matched: Matched) -> str:
    """How true a face is, as far as anybody can tell: one line, and more where it is asked for."""
    match = matched.matches[face]
    more = [f"About {drawn.invented:.0%} of this face is the program's guess; the rest comes from photos."]
    if drawn.likeness and match:
        before, after = drawn.likeness
        sure = match.chance or 0.0
        yes = "yes" if sure >= 0.8 else "probably" if sure >= 0.5 else "not sure"
        line = f"{name(face)} matches your photos: {yes}, {sure:.0%}."
        change = "is unchanged" if abs(after - before) < CLEARLY else "rose" if after > before else "fell"
        more.insert(
            0, f"Likeness to your other photos {change}: {before:.2f} before, {after:.2f} after (1 is the most)."
        )
        more.append("Likeness rises by copying alone, so look for yourself.")
    elif matched.references:
        why = "as you said" if match and match.by_hand else "it is probably nobody on them"
        line = f"{name(face)} is restored without your other photos: {why}."
    else:
        line = f"There is nothing yet to check {name(face).lower()} against."
        more.append("Add a good photo of the same person, and you will see how alike they are.")
    more += [f"{Path(path).name} is not used for this face: {why}." for path, why in drawn.unused]
    details = "".join(f"<p>{escape(text)}</p>" for text in more)
    return (
        f'<p class="sure"><b>{escape(line)}</b> Guessed: {drawn.invented:.0%}.</p>'
        f"<details><summary>More about this</summary>{details}</details>"
    )


def legend(drawn: DrawnFace, view: str) -> str:
    """What the colours of an overlay mean."""
    if view == GUESSED:
        return (
            '<p class="legend"><span style="background:#e69f00"></span>'
            "orange is the program's guess: the stronger, the less to trust</p>"
        )
    if view == TAKEN:
        colours = ["#{:02x}{:02x}{:02x}".format(*COLOURS[n % len(COLOURS)]) for n in range(len(drawn.taken))]
        swatches = "".join(
            f'<span style="background:{colour}"></span>{escape(Path(path).name)}, {share:.0%} of the face<br>'
            for colour, (path, share) in zip(colours, drawn.taken, strict=True)
        )
        return f'<p class="legend">{swatches}grey: none of them</p>'
    return ""


def look(settings: Settings) -> str:
    """What a look sets."""
    text = f"Original {settings.content:g}, sharpen {settings.quality:g}, other photos {settings.strength:g}"
    return f'<p class="hint">{text}, rebuild {settings.steps or "off"}.</p>'


def restored(number: int, faces: int) -> str:
    """What was done to a photo."""
    return f"{number} of {faces} faces restored." if faces > 1 else "1 face restored."


NOTHING_FOUND = "no face was found, so there is nothing to restore."
NOTHING_CHOSEN = "no faces restored: they were already sharp or not selected."
