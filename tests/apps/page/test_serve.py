import argparse
import importlib.util

import pytest
from resemblance.core.apps.files import UsageError
from resemblance.core.apps.page import serve


def test_without_gradio_one_sentence_says_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gradio" else find(name))
    with pytest.raises(UsageError, match=r'pip install "resemblance\[app\]"'):
        serve.run(argparse.Namespace(), None)
