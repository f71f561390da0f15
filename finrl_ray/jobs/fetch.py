"""Fetching the results of a job into a local folder."""

import json
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from finrl_ray.cluster.proxies import opener_for
from finrl_ray.cluster.security import read_token, token_mode_wanted
from finrl_ray.errors import SearchError
from finrl_ray.jobs.client import JobServer
from finrl_ray.jobs.pack import MARK, archive_name, digest
from finrl_ray.jobs.package import pack_entrypoint, remote_storage
from finrl_ray.search.folder.names import OPENINGS_FILE

_PACK_S = 600.0
_READ_S = 60.0


def fetch_results(
    server: JobServer, job_id: str, into: Path, *, checkpoints: bool = False
) -> list[Path]:
    """Fetch what a job's search has written so far; return the local folders.

    Parameters
    ----------
    server : of the cluster that the job runs or ran on
    job_id : the job, or one that resumed it
    into : local folder under which each search gets its own
    checkpoints : fetch all checkpoints too, and not the winner's models alone

    Raises
    ------
    SearchError
        If they cannot be packed, or what arrives is not what was packed.
    """
    metadata = server.metadata(job_id)
    job_id = metadata.get("finrl_ray_job", job_id)
    storage = metadata.get("finrl_ray_storage") or remote_storage("runs", job_id)
    packing = server.submit(pack_entrypoint(storage, job_id, checkpoints=checkpoints))
    ended = server.wait(packing, _PACK_S)
    log = server.log(packing)
    if ended.exit_code != 0:
        last = (log.strip() or ended.message).splitlines()[-1:]
        raise SearchError(f"the results of {job_id} cannot be packed: {' '.join(last)}")
    facts = _packed(log)
    node = server.node_of(packing)
    server.delete(packing)
    if not facts["folders"]:
        return []
    into = into.expanduser()
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=".fetch") as scratch:
        archive = Path(scratch) / "results.tar.gz"
        _download(server.url, node, archive_name(job_id), archive, direct=server.direct)
        if archive.stat().st_size != facts["bytes"] or digest(archive) != facts["sha256"]:
            raise SearchError(
                f"the results of {job_id} arrived damaged ({archive.stat().st_size} of "
                f"{facts['bytes']} bytes); fetch them again: `finrl-ray submit --fetch {job_id}`"
            )
        found = _unpack(archive, Path(scratch) / "unpacked")
        return [_place(path, into) for path in found if path.is_dir()]


def _packed(log: str) -> dict[str, Any]:
    for line in reversed(log.splitlines()):
        if line.startswith(f'{{"{MARK}"'):
            facts: dict[str, Any] = json.loads(line)[MARK]
            return facts
    raise SearchError(f"the cluster did not say what it packed: {log.strip()[-300:]}")


def _download(url: str, node: str, name: str, target: Path, *, direct: bool) -> None:
    # -1: the whole file; the log server gives the last 1000 lines otherwise
    query = urllib.parse.urlencode({"node_id": node, "filename": name, "lines": -1})
    token = read_token() if token_mode_wanted() else None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{url}/api/v0/logs/file?{query}", headers=headers)
    try:
        with (
            opener_for(url, direct=direct).open(request, timeout=_READ_S) as reply,
            target.open("wb") as file,
        ):
            shutil.copyfileobj(reply, file)
    except (OSError, urllib.error.HTTPError) as error:
        raise SearchError(f"{name} cannot be fetched from {url}: {error}") from error


def _unpack(archive: Path, folder: Path) -> list[Path]:
    folder.mkdir()
    try:
        with tarfile.open(archive, "r:gz") as file:
            # nothing outside the folder, no links to elsewhere, no devices
            file.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise SearchError(f"the results that were fetched cannot be unpacked: {error}") from error
    return sorted(folder.iterdir())


def _place(fetched: Path, into: Path) -> Path:
    """Lay fetched files over those of an earlier fetch; what only exists here stays."""
    target = into / fetched.name
    here, there = (folder / OPENINGS_FILE for folder in (target, fetched))
    if here.is_file():
        # each opening of the test window counts, wherever it happened
        lines = here.read_text(encoding="utf-8-sig").splitlines()
        if there.is_file():
            lines += [
                x for x in there.read_text(encoding="utf-8-sig").splitlines() if x not in lines
            ]
        there.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    shutil.copytree(fetched, target, dirs_exist_ok=True)
    return target
