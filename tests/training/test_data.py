import importlib.util
import subprocess
import sys

import pytest

if not all(map(importlib.util.find_spec, ("cv2", "onnx", "lpips"))):
    pytest.skip("the train extra is not installed", allow_module_level=True)


def test_batches_that_are_being_made_are_finished_before_the_program_ends(tmp_path):
    code = """
import time
from pathlib import Path
from resemblance.core.training.data import prefetch
def make(rng, i):
    Path(f"begun{i}").touch(); time.sleep(0.1); Path(f"ended{i}").touch()
    return i
batches = prefetch(make, 0, 5, depth=2)
print(next(batches), next(batches))
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, "5 6\n", "")
    begun, ended = (len(list(tmp_path.glob(f"{name}*"))) for name in ("begun", "ended"))
    assert 2 < begun == ended < 8  # ahead of use, not without end
