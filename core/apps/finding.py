"""The options by which the commands find faces."""

from __future__ import annotations

from functools import partial

from ..faces.detect import Detect, detect_faces, load_detector
from .arguments import DetectionArguments


def detector_from(args: DetectionArguments) -> Detect:
    """Photographs → faces, as the options say.

    Raises:
        ValueError, OSError: as :func:`..faces.detect.load_detector`; or an option is out of range.
    """
    if not 0 < args.threshold <= 1:
        raise ValueError(f"--threshold was {args.threshold}; expected above 0 and at most 1.")
    if args.max_faces is not None and args.max_faces < 1:
        raise ValueError(f"--max-faces was {args.max_faces}; expected 1 or more.")
    return partial(
        detect_faces,
        backend=load_detector(args.detector, args.models_dir, args.device),
        threshold=args.threshold,
        min_size=args.min_size,
        max_faces=args.max_faces,
        order=args.order,
    )
