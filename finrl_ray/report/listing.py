"""All searches under a storage path, each with its state, how far it is, and its best so far."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from finrl_ray.config.trial.options import searched_algorithms
from finrl_ray.errors import FinRLRayError, SearchError
from finrl_ray.files.bounded_reading import read_json
from finrl_ray.files.shown_path import shown_path
from finrl_ray.search.folder.folder import planned_in
from finrl_ray.search.folder.lock import is_driven
from finrl_ray.search.folder.names import EXPERIMENT_FILE
from finrl_ray.search.folder.place import local_folder
from finrl_ray.search.folder.sealed_config import EditedConfigError, open_config
from finrl_ray.search.journal.events import read_journal
from finrl_ray.search.journal.records import ENDED, is_finished
from finrl_ray.search.results.ranking import trial_score
from finrl_ray.search.results.table import leader
from finrl_ray.search.results.verdict import read_verdict
from finrl_ray.storage.url import child_url, is_url

# whatever is wrong with one folder, the others are listed
_READ_ERRORS = (
    FinRLRayError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)


@dataclass(frozen=True, kw_only=True)
class ListedSearch:
    """One line of the list.

    Parameters
    ----------
    path : its folder, or its URL
    name : of the experiment
    kind : `search`, `confirmation` or `train`
    state : `running`, `interrupted`, `finished`, `edited` (its config is not the one that it was
        made with), or `damaged`
    created : ISO time; empty if not known
    algorithm : of its agents
    ended, planned : trials
    best_trial, best_score : number of the trial that ranks first, and what it is ranked by; None
        before one does
    verdict : the word; empty before there is one
    problem : what was edited or is damaged
    """

    path: str
    name: str
    state: str
    kind: str = ""
    created: str = ""
    algorithm: str = ""
    ended: int = 0
    planned: int = 0
    best_trial: int | None = None
    best_score: float | None = None
    verdict: str = ""
    problem: str = ""


def list_searches(storage: str | Path) -> list[ListedSearch]:
    """Return the searches under a storage path, the newest first.

    A folder that is no search's is left out; one that is damaged is listed with what is wrong.

    Parameters
    ----------
    storage : what `search.storage_path` was, a folder or a URL; or the folder of one search

    Raises
    ------
    SearchError
        If there is no such folder, or the store does not answer.
    """
    found = [_listed(folder, shown) for folder, shown in _folders(storage)]
    return sorted(found, key=lambda one: (one.created, one.path), reverse=True)


def _folders(storage: str | Path) -> Iterator[tuple[Path, str]]:
    """Return the folders of searches on this machine, and the names under which they are listed."""
    if is_url(str(storage)):
        for name in _remote_searches(str(storage)):
            url = child_url(str(storage), name)
            yield local_folder(url)[0], url
        return
    root = Path(storage).expanduser()
    if not root.is_dir():
        raise SearchError(
            f"there is no folder {shown_path(root)}; give the search.storage_path of your configs "
            "(`runs` if they name none)"
        )
    own = [root] if (root / EXPERIMENT_FILE).is_file() else []
    for folder in [*own, *sorted(path.parent for path in root.glob(f"*/{EXPERIMENT_FILE}"))]:
        yield folder, str(folder)


def _remote_searches(url: str) -> list[str]:
    # needed for object stores alone
    import pyarrow.fs as pafs

    from finrl_ray.storage.object_store import in_words, open_store

    try:
        filesystem, root = open_store(url)
        infos = filesystem.get_file_info(pafs.FileSelector(root, allow_not_found=True))
        names = [info.base_name for info in infos if not info.is_file]
        # one request for all: a store may be far away
        found = filesystem.get_file_info([f"{root}/{name}/{EXPERIMENT_FILE}" for name in names])
        return [name for name, info in zip(names, found, strict=True) if info.is_file]
    except OSError as error:
        raise SearchError(in_words(url, error)) from error


def _listed(folder: Path, shown: str) -> ListedSearch:
    try:
        return _read(folder, shown)
    except EditedConfigError as error:
        return ListedSearch(path=shown, name=folder.name, state="edited", problem=str(error))
    except _READ_ERRORS as error:
        return ListedSearch(path=shown, name=folder.name, state="damaged", problem=str(error))


def _read(folder: Path, shown: str) -> ListedSearch:
    facts = read_json(folder / EXPERIMENT_FILE)
    config = open_config(folder, facts).config
    records = read_journal(folder)
    kind = str(facts["kind"])
    planned = planned_in(kind, config)
    state = "finished" if is_finished(records, planned) else "interrupted"
    if is_driven(folder):
        state = "running"
    started = records.in_order()
    best = leader(started, config)
    judged = read_verdict(folder) if state == "finished" else None
    return ListedSearch(
        path=shown,
        name=config.name,
        kind=kind,
        state=state,
        created=str(facts.get("created", "")),
        algorithm=", ".join(searched_algorithms(config)),
        ended=sum(record.state in ENDED for record in started),
        planned=planned,
        best_trial=None if best is None else best.index,
        best_score=None if best is None else trial_score(best, config),
        verdict="" if judged is None else judged.verdict.kind,
    )
