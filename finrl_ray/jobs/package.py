"""What is sent with a job: the config with its overrides, the data file and own code it names."""

import dataclasses
import secrets
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from finrl_ray.config.dump import dump_config
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import load_config
from finrl_ray.config.trial.own_code import own_references
from finrl_ray.own_code.code_files import collect_code
from finrl_ray.storage.url import is_url, require_no_secret

CONFIG_FILE = "config.yaml"
STORAGE_VARIABLE = "FINRL_RAY_STORAGE"
"""Set on a cluster's nodes: the folder or URL, seen by all of them, under which searches write."""
_DEFAULT_STORAGE = f"${{{STORAGE_VARIABLE}:-$HOME/finrl_ray_runs}}"


@dataclass(frozen=True, kw_only=True)
class Package:
    """A job that is ready to be sent.

    Parameters
    ----------
    job_id : its name on the cluster
    folder : what is sent along
    storage : where the search will write, as a word of the shell on the cluster
    results : local folder that the results are fetched into
    """

    job_id: str
    folder: Path
    storage: str
    results: str

    @property
    def entrypoint(self) -> str:
        """The command that the cluster runs."""
        # `python`: the one of the cluster's environment, whatever it is called here
        storage = f'"search.storage_path={self.storage}"'
        return f"python -m finrl_ray tune {CONFIG_FILE} --address auto --set {storage}"


def make_package(config: Path, overrides: Sequence[str], folder: Path) -> Package:
    """Check a config and put what its search needs into `folder`.

    Parameters
    ----------
    config : a YAML file; a data file and own code that it names are looked up from its folder and
        sent along. An absolute path that is not here is left as it is, as one of the cluster
    overrides : `dotted.key=value` strings
    folder : an empty folder

    Raises
    ------
    ConfigError
        If the config does not hold.
    """
    loaded = load_config(config, overrides)
    require_no_secret("search.storage_path", loaded.search.storage_path)
    name, source = loaded.data.source, config.parent / loaded.data.source
    if source.is_file():
        name = f"data{''.join(source.suffixes)}"
        shutil.copyfile(source, folder / name)
    references = {one.key: one.reference for one in own_references(loaded)}
    collect_code(references, config.parent).write(folder)
    job_id = _job_id(loaded)
    dump_config(_with_source(loaded, name), folder / CONFIG_FILE)
    given = loaded.search.storage_path
    local = "://" not in given
    return Package(
        job_id=job_id,
        folder=folder,
        storage=remote_storage(given, job_id),
        results=given if local else "runs",
    )


def remote_storage(given: str, job_id: str) -> str:
    """Return where a job's search writes, as text between double quotes of a shell.

    A relative folder would lie in the job's own, which goes with the job; the cluster's shared
    folder is taken instead. Each job has a folder of its own, so that its results can be told.
    """
    if "://" not in given and not Path(given).is_absolute():
        return f"{_DEFAULT_STORAGE}/{job_id}"
    place, query, options = given.partition("?") if "://" in given else (given, "", "")
    folder = f"{place.rstrip('/')}/{job_id}{query}{options}"
    return "".join(f"\\{c}" if c in '\\"$`' else c for c in folder)


def resume_entrypoint(storage: str) -> str:
    """Return the command that goes on with the one search of an earlier job.

    It trusts the storage, to which that job alone has written: the machine of its driver, with the
    key by which it would know its own files, may be gone.
    """
    if is_url(storage):
        return f'python -m finrl_ray resume "{storage}" --address auto --trust'
    return f'python -m finrl_ray resume "$(ls -d "{storage}"/*/)" --address auto --trust'


def pack_entrypoint(storage: str, job_id: str, *, checkpoints: bool) -> str:
    """Return the command that packs a job's results on the cluster."""
    everything = " --checkpoints" if checkpoints else ""
    return f'python -m finrl_ray.jobs.pack "{storage}" {shlex.quote(job_id)}{everything}'


def _job_id(config: ExperimentConfig) -> str:
    now = datetime.now().astimezone()
    return f"{config.name}_{now:%Y%m%d_%H%M%S}_{secrets.token_hex(2)}"


def _with_source(config: ExperimentConfig, source: str) -> ExperimentConfig:
    return dataclasses.replace(config, data=dataclasses.replace(config.data, source=source))
