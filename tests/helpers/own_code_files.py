"""Own code of a test: written into a folder, and active while the test runs."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from finrl_ray.own_code.code_files import CodeFiles, collect_code
from finrl_ray.own_code.finder import activate


@contextmanager
def active_code_of(folder: Path, references: Mapping[str, str], **files: str) -> Iterator[Path]:
    """Write modules into a folder and make them the active code.

    Parameters
    ----------
    folder : that they are written into
    references : key of the config -> reference
    files : text by module; indented as in the test
    """
    for module, text in files.items():
        (folder / f"{module}.py").write_text(inspect.cleandoc(text) + "\n", encoding="utf-8")
    activate(collect_code(references, folder))
    try:
        yield folder
    finally:
        activate(CodeFiles())
