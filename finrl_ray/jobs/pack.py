"""Run on a cluster's head: packs a job's results where the dashboard can hand them out.

Ray's job server has no way to fetch a file; its dashboard hands out the files of the session's log
folder, to those who have the token.
"""

import argparse
import contextlib
import hashlib
import json
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

MARK = "finrl_ray_results"
RAY_FOLDER = "ray"
"""Ray's own files of a search, all checkpoints among them; the winner's models lie elsewhere."""
_BLOCK = 1 << 20


def archive_name(job_id: str) -> str:
    """Return the name of a job's archive in the session's log folder."""
    return f"{MARK}_{job_id}.tar.gz"


def pack(source: str, target: Path, *, checkpoints: bool = False) -> list[str]:
    """Pack the search folders under `source` into an archive; return their names.

    Parameters
    ----------
    source : a folder or a storage URL
    target : the archive; it is not made when there is nothing to pack
    checkpoints : pack all checkpoints too
    """
    with _local(source) as folder:
        searches = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
        if not searches:
            return []

        def wanted(item: tarfile.TarInfo) -> tarfile.TarInfo | None:
            parts = Path(item.name).parts
            return None if not checkpoints and parts[1:2] == (RAY_FOLDER,) else item

        unfinished = target.with_name(f"{target.name}.part")
        with tarfile.open(unfinished, "w:gz", compresslevel=3) as archive:
            for search in searches:
                archive.add(search, search.name, filter=wanted)
        unfinished.replace(target)
    return [search.name for search in searches]


@contextlib.contextmanager
def _local(source: str) -> Iterator[Path]:
    """Give a storage URL as a folder, copied for as long as it is needed."""
    if "://" not in source:
        yield Path(source).expanduser()
        return
    from pyarrow import fs

    with tempfile.TemporaryDirectory() as folder:
        try:
            fs.copy_files(source, folder)
        except FileNotFoundError:  # nothing has been written there
            yield Path(folder) / "nothing"
            return
        yield Path(folder)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def main() -> None:
    """Pack, and say in one line of JSON what was packed."""
    import ray

    from finrl_ray.cluster.ray_internals import log_folder

    parser = argparse.ArgumentParser(prog="finrl_ray.jobs.pack")
    parser.add_argument("source")
    parser.add_argument("job_id")
    parser.add_argument("--checkpoints", action="store_true")
    given = parser.parse_args()
    ray.init(log_to_driver=False)
    logs = Path(log_folder())
    target = logs / archive_name(given.job_id)
    folders = pack(given.source, target, checkpoints=given.checkpoints)
    facts = {"folders": folders, "source": given.source}
    if folders:
        facts |= {"bytes": target.stat().st_size, "sha256": digest(target)}
    print(json.dumps({MARK: facts}), flush=True)  # noqa: T201  # what the fetching side reads


if __name__ == "__main__":
    main()
