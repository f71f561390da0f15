"""`reproduction.zip`: one file with all that training the winner again needs, and its results.

It holds the rows of train and validation, never those of the test window. The same search gives the
same bytes.
"""

import dataclasses
import hashlib
import io
import json
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from finrl_ray._typing import AnyArray
from finrl_ray.agents.model_files import MODEL_FILE
from finrl_ray.agents.models import load_model
from finrl_ray.config.dump import config_to_dict
from finrl_ray.config.load import parse_config
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.config.trial.own_code import own_references
from finrl_ray.config.yaml_text import TEXT_BYTES, load_yaml
from finrl_ray.data.npz import read_market_data, save_market_data
from finrl_ray.data.windows.folds import Fold, ValidationPlan
from finrl_ray.errors import ConfigError, FinRLRayError, SearchError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.files.bounded_reading import (
    ARRAY_BYTES,
    check_members,
    parse_json,
    read_arrays,
    read_member,
)
from finrl_ray.files.contained_path import checked_relative_path
from finrl_ray.machine.processor import processor_facts
from finrl_ray.own_code.code_files import CodeFiles
from finrl_ray.search.folder.folder import SearchFolder, versions
from finrl_ray.search.folder.names import CODE_FOLDER, REPRODUCTION_FILE
from finrl_ray.search.folder.own_code import OWN_CODE, code_facts
from finrl_ray.search.journal.lineage import Segment, segments
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.reproduce.rerun import TrialInputs, inputs_of
from finrl_ray.training.agent import EVALUATIONS_FILE
from finrl_ray.training.fold_results import FOLDS_FILE
from finrl_ray.training.threads import threads_per_trial

FORMAT = 1
FORMAT_OF_SEVERAL = 2
"""Of a file whose winner is several trials together."""
_MANIFEST, _CONFIG, _DATA, _CURVES = "manifest.json", "config.yaml", "market_data.npz", "curves.npz"
_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class ArchivedTrial:
    """One trial of a reproduction file.

    Parameters
    ----------
    trial : its number
    schedule : how it was trained
    results : its evaluations on the last stretch of the schedule, in order
    curves : account values of these evaluations, of shape (evaluations, days); for a trial of
        several trainings the returns of all of them, of shape (days,)
    parameters : SHA-256 over the arrays of the policy; empty where no single model stands for the
        trial
    """

    trial: int
    schedule: tuple[Segment, ...]
    results: tuple[dict[str, Any], ...]
    curves: AnyArray
    parameters: str

    @property
    def until(self) -> int:
        """Timesteps of the last evaluation.

        Raises
        ------
        ConfigError
            If the trial was exchanged after its last evaluation, so that none is of what it became.
        """
        if not self.results:
            raise ConfigError(
                f"trial {self.trial} was exchanged by population based training after its last "
                "evaluation, so that there is no result to compare with; replay another trial of "
                "the search's folder with `finrl-ray replay DIR --trial N`"
            )
        return int(self.results[-1]["timesteps"])

    @property
    def sample(self) -> dict[str, Any]:
        """The hyperparameters that it has at last."""
        return self.schedule[-1].sample


@dataclass(frozen=True, kw_only=True, eq=False)
class ReproductionArchive:
    """What a reproduction file holds.

    Parameters
    ----------
    trials : the winner; where several trials are it together, all of them, the first in rank first
    inputs : what they read
    ensemble : account values (or returns, where trials train several times) of all of them
        together; None where one trial is the winner
    code, code_facts : the user's own code that the config names, and what is said of it
    versions : of Python, the machine and the packages
    processor : `processor_facts` of where the search ended; empty in files of earlier versions
    """

    trials: tuple[ArchivedTrial, ...]
    inputs: TrialInputs
    versions: Mapping[str, str]
    processor: Mapping[str, str]
    ensemble: AnyArray | None = None
    code: CodeFiles = field(default_factory=CodeFiles)
    code_facts: Mapping[str, Any] = field(default_factory=dict)


def archived_trial(
    folder: SearchFolder,
    record: TrialRecord,
    records: Sequence[TrialRecord],
    checkpoint: Path,
    until: int,
) -> ArchivedTrial:
    """Return what repeats a trial as far as one of its checkpoints.

    Parameters
    ----------
    folder : of the search
    record : the trial
    records : all trials, through which it may have come about
    checkpoint : folder of the checkpoint
    until : timesteps at which it was made
    """
    schedule, trial = segments(record, records), config_of_sample(folder.config, record.sample)
    results = results_of_last_stretch(record.results, schedule)
    results = [result for result in results if result["timesteps"] <= until]
    return ArchivedTrial(
        trial=record.index,
        schedule=tuple(schedule),
        results=tuple(results),
        curves=read_curves(checkpoint, len(results)),
        parameters=parameters_hash(checkpoint, trial.agent.algorithm),
    )


def write_reproduction(
    folder: SearchFolder, trials: Sequence[ArchivedTrial], ensemble: AnyArray | None = None
) -> None:
    """Write the file of a search's winner.

    Parameters
    ----------
    folder : of the search
    trials : the winner, or all trials that are it together
    ensemble : their account together
    """
    inputs, data = inputs_of(folder), folder.development
    parts = [
        {
            "trial": one.trial,
            "schedule": [dataclasses.asdict(segment) for segment in one.schedule],
            "results": list(one.results),
            "parameters": one.parameters,
        }
        for one in trials
    ]
    first = folder.split.train.first_row
    windows = {
        window.name: [window.first_row - first, window.stop_row - first]
        for window in (folder.split.train, folder.split.validation)
    }
    first_part = dict(parts[0])
    manifest = {
        "format": FORMAT if ensemble is None else FORMAT_OF_SEVERAL,
        **{name: first_part[name] for name in ("trial", "schedule", "results")},
        "windows": windows,
        "plan": None if inputs.plan is None else dataclasses.asdict(inputs.plan),
        "data_hash": data.content_hash,
        "parameters": first_part["parameters"],
        **({} if ensemble is None else {"others": parts[1:]}),
        **code_facts(folder.config, folder.code),
        "versions": versions(),
        "processor": processor_facts(threads_per_trial(folder.config)),
    }
    curves = io.BytesIO()
    arrays: dict[str, Any] = {"curves": trials[0].curves}
    arrays |= {f"curves_{number}": one.curves for number, one in enumerate(trials[1:], start=2)}
    arrays |= {} if ensemble is None else {"ensemble": ensemble}
    np.savez(curves, **arrays)
    with tempfile.TemporaryDirectory() as scratch:
        save_market_data(data, Path(scratch) / _DATA)
        content = {
            _MANIFEST: json.dumps(manifest, indent=1).encode(),
            _CONFIG: yaml.safe_dump(config_to_dict(folder.config), sort_keys=False).encode(),
            _DATA: (Path(scratch) / _DATA).read_bytes(),
            _CURVES: curves.getvalue(),
            **{f"{CODE_FOLDER}/{path}": text for path, text in folder.code.files.items()},
        }
    with (
        atomic_path(folder.path / REPRODUCTION_FILE) as temporary,
        zipfile.ZipFile(temporary, "w") as file,
    ):
        for name, value in content.items():
            file.writestr(zipfile.ZipInfo(name, _TIME), value, zipfile.ZIP_DEFLATED)


def results_of_last_stretch(
    results: Sequence[dict[str, Any]], schedule: Sequence[Segment]
) -> list[dict[str, Any]]:
    """Return the evaluations that the last stretch of a schedule has led to."""
    return [result for result in results if result["timesteps"] > schedule[-1].start]


def read_curves(checkpoint: Path, n_results: int) -> AnyArray:
    """Return the account values of a checkpoint's last evaluations, or the returns of its folds."""
    folds = checkpoint / FOLDS_FILE
    path = folds if folds.is_file() else checkpoint / EVALUATIONS_FILE
    file = read_arrays(path)
    if folds.is_file():
        return file["returns"]
    values: AnyArray = file["account_value"][:, 0, :]
    return values[len(values) - n_results :]


def parameters_hash(checkpoint: Path, algorithm: str) -> str:
    """Return the SHA-256 over the policy's arrays; empty if the checkpoint has no model."""
    if not (checkpoint / MODEL_FILE).is_file():
        return ""
    model = load_model(algorithm, checkpoint / MODEL_FILE, device="cpu")
    digest = hashlib.sha256()
    for name, value in sorted(model.policy.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value.numpy()).tobytes())
    return digest.hexdigest()


def read_reproduction(path: Path) -> ReproductionArchive:
    """Return what a reproduction file holds.

    Raises
    ------
    SearchError
        If it is missing, damaged or of another format.
    """
    if not path.is_file():
        raise SearchError(
            f"there is no {path}; it is written when a search ends with a winner, or by "
            f"`finrl-ray resume {path.parent}`"
        )
    try:
        with zipfile.ZipFile(path) as file, tempfile.TemporaryDirectory() as scratch:
            check_members(file)
            manifest = parse_json(read_member(file, _MANIFEST))
            if manifest["format"] not in (FORMAT, FORMAT_OF_SEVERAL):
                raise SearchError(
                    f"{path} has format {manifest['format']!r}, and this version of finrl-ray "
                    f"reads {FORMAT} and {FORMAT_OF_SEVERAL}; use the version that wrote it "
                    f"({manifest.get('versions', {}).get('finrl-ray', 'not known')})"
                )
            (Path(scratch) / _DATA).write_bytes(read_member(file, _DATA, ARRAY_BYTES))
            data = read_market_data(Path(scratch) / _DATA, manifest["data_hash"])
            config = parse_config(load_yaml(read_member(file, _CONFIG, TEXT_BYTES).decode("utf-8")))
            curves = read_arrays(io.BytesIO(read_member(file, _CURVES, ARRAY_BYTES)))
            code = _read_code(file, manifest) if own_references(config) else CodeFiles()
        inputs = TrialInputs(
            config=config,
            train_data=data.rows(*manifest["windows"]["train"]),
            validation_data=data.rows(*manifest["windows"]["validation"]),
            development=data,
            plan=_plan(manifest["plan"]),
        )
        parts = [manifest, *manifest.get("others", ())]
        names = ["curves", *(f"curves_{number}" for number in range(2, len(parts) + 1))]
        return ReproductionArchive(
            trials=tuple(
                _archived(part, curves[name]) for part, name in zip(parts, names, strict=True)
            ),
            inputs=inputs,
            ensemble=curves["ensemble"] if manifest["format"] == FORMAT_OF_SEVERAL else None,
            code=code,
            code_facts={OWN_CODE: manifest[OWN_CODE]} if OWN_CODE in manifest else {},
            versions=manifest["versions"],
            processor=dict(manifest.get("processor", {})),
        )
    except SearchError:
        raise
    except (
        FinRLRayError,
        zipfile.BadZipFile,
        zlib.error,
        yaml.YAMLError,
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:
        raise SearchError(
            f"{path} is damaged ({error}); fetch it again, or delete it and let `finrl-ray resume` "
            "of its search write it anew"
        ) from error


def _read_code(file: zipfile.ZipFile, manifest: Mapping[str, Any]) -> CodeFiles:
    """Return the own code in a file, checked against its hashes."""
    hashes = manifest.get(OWN_CODE, {}).get("files", {})
    paths = [str(checked_relative_path(name, "own code")) for name in hashes]
    code = CodeFiles(
        files={path: read_member(file, f"{CODE_FOLDER}/{path}", TEXT_BYTES) for path in paths}
    )
    if code.hashes != dict(hashes):
        raise ValueError(f"the files in {CODE_FOLDER}/ do not match their hashes")
    return code


def _archived(part: Mapping[str, Any], curves: AnyArray) -> ArchivedTrial:
    return ArchivedTrial(
        trial=part["trial"],
        schedule=tuple(Segment(**segment) for segment in part["schedule"]),
        results=tuple(part["results"]),
        curves=curves,
        parameters=part["parameters"],
    )


def _plan(content: Mapping[str, Any] | None) -> ValidationPlan | None:
    if content is None:
        return None
    paths = tuple(
        tuple(
            Fold(
                **{name: tuple(tuple(part) for part in fold[name]) for name in ("train", "judged")}
            )
            for fold in path
        )
        for path in content["paths"]
    )
    return ValidationPlan(**{**content, "paths": paths})
