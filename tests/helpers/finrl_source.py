"""FinRL's own functions for comparison, without installing what they import beside them."""

import importlib
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest


def finrl_preprocessors(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return FinRL's `preprocessors` module; skip if FinRL is neither installed nor in FINRL_PATH.

    FINRL_PATH is a folder that holds FinRL's package folder `finrl`.
    """
    folder = os.environ.get("FINRL_PATH")
    if folder and (Path(folder) / "finrl").is_dir():
        monkeypatch.syspath_prepend(folder)
        for name in ("finrl", "finrl.meta", "finrl.meta.preprocessor"):
            package = types.ModuleType(name)
            # the package's own __init__ imports brokers' libraries
            package.__path__ = [str(Path(folder, *name.split(".")))]
            monkeypatch.setitem(sys.modules, name, package)
        config = importlib.import_module("finrl.config")
        sys.modules["finrl"].config = config
    downloader = types.ModuleType("finrl.meta.preprocessor.yahoodownloader")
    downloader.YahooDownloader = None
    monkeypatch.setitem(sys.modules, downloader.__name__, downloader)
    try:
        return importlib.import_module("finrl.meta.preprocessor.preprocessors")
    except ImportError:
        pytest.skip("FinRL is not here")
