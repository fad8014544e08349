"""Nodes for the tests alone: they feed values that no other node gives, and keep what a node put out."""

# ruff: noqa: N802 - ComfyUI names these methods
import json
from collections import namedtuple
from pathlib import Path

import folder_paths
import numpy as np
import torch

import nodes

SEG = namedtuple(
    "SEG", ["cropped_image", "cropped_mask", "confidence", "crop_region", "bbox", "label", "control_net_wrapper"]
)


class Anything(str):
    """A socket type that fits every other."""

    def __ne__(self, other):
        return False

    __eq__ = str.__eq__
    __hash__ = str.__hash__


ANY = Anything("*")


class Tensor:
    """A tensor from a file in the input folder, in a type of one's choice."""

    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "run", (ANY,)

    @classmethod
    def INPUT_TYPES(cls):
        types = (["float32", "float16"], {"default": "float32"})
        return {"required": {"file": ("STRING", {"default": ""}), "dtype": types}}

    def run(self, file, dtype):
        return (torch.from_numpy(np.load(Path(folder_paths.get_input_directory()) / file)).to(getattr(torch, dtype)),)


class Value:
    """Anything that JSON can tell; of ``{"segs": [boxes], "size": [height, width]}`` Impact's SEGS."""

    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "run", (ANY,)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"default": "null"})}}

    def run(self, text):
        value = json.loads(text)
        if isinstance(value, dict) and "segs" in value:
            segs = [SEG(None, None, 0.9, box, box, "face", None) for box in value["segs"]]
            value = (tuple(value["size"]), segs)
        return (value,)


class List:
    """Two values as a list, which nodes that take no lists are given one by one."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_IS_LIST = "tests", "run", (ANY,), (True,)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {name: (ANY, {"forceInput": True}) for name in ("first", "second")}}

    @classmethod
    def VALIDATE_INPUTS(cls, input_types):
        return True

    def run(self, first, second):
        return ([first, second],)


class Keep:
    """Writes what it is given below the output folder: tensors as .npy, all else as .json."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "tests", "run", (), True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY, {"forceInput": True}), "name": ("STRING", {"default": "value"})}}

    @classmethod
    def VALIDATE_INPUTS(cls, input_types):
        return True

    def run(self, value, name):
        folder = Path(folder_paths.get_output_directory()) / "kept"
        folder.mkdir(exist_ok=True)
        for old in folder.glob(f"{name}.*"):
            old.unlink()
        if isinstance(value, torch.Tensor):
            np.save(folder / f"{name}.npy", value.cpu().numpy())
        else:
            (folder / f"{name}.json").write_text(json.dumps(value, default=self._tell))
        return {"ui": {"text": [name]}}

    @staticmethod
    def _tell(value):
        if isinstance(value, (np.ndarray, torch.Tensor)):
            return {"shape": list(value.shape)}
        return repr(value)


class ImageCompare:
    """Stands in for core's Compare Images where the host is older than it; the frontend draws the slider."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "tests", "run", (), True

    @classmethod
    def INPUT_TYPES(cls):
        pictures = {name: ("IMAGE",) for name in ("image_a", "image_b")}
        return {"required": {"compare_view": ("IMAGECOMPARE", {})}, "optional": pictures}

    def run(self, compare_view=None, **pictures):
        shown = {}
        for name, images in pictures.items():
            side = name.removeprefix("image_")
            shown[f"{side}_images"] = nodes.PreviewImage().save_images(images, f"compare.{side}")["ui"]["images"]
        return {"ui": shown}


NODE_CLASS_MAPPINGS = {f"ResemblanceTest{kind.__name__}": kind for kind in (Tensor, Value, List, Keep)}
if "ImageCompare" not in nodes.NODE_CLASS_MAPPINGS:
    NODE_CLASS_MAPPINGS["ImageCompare"] = ImageCompare
