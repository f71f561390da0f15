"""The trials that are deployed, each trained once more in this process."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finrl_ray.agents.hyperparameters import trial_seed
from finrl_ray.agents.model_files import MODEL_FILE
from finrl_ray.agents.models import save_model
from finrl_ray.agents.normalization import VECNORMALIZE_FILE
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.ensemble_parts import plain_sample
from finrl_ray.support.progress import Progress, no_progress
from finrl_ray.training.stretches import train_stretches
from finrl_ray.training.threads import threads_of_a_trial
from finrl_ray.workflows.deployment.chosen import stretches_of
from finrl_ray.workflows.deployment.rows import TrainedRows


@dataclass(frozen=True, kw_only=True)
class OneTraining:
    """A training that has ended.

    Parameters
    ----------
    file : the model's zip file, with the statistics of VecNormalize in it where it has some
    sample : of the trial, in plain values
    seed : of the training; of a trial of population based training that of its first ancestor
    timesteps : that it was trained for
    """

    file: Path
    sample: dict[str, Any]
    seed: int
    timesteps: int


def train_chosen(
    folder: SearchFolder,
    records: Sequence[TrialRecord],
    rows: TrainedRows,
    scratch: Path,
    progress: Progress = no_progress,
) -> list[OneTraining]:
    """Train some trials of a search from scratch on some rows; write each model below `scratch`.

    Parameters
    ----------
    folder : of the search, whose own code runs in this process already
    records : the trials
    rows : that are trained on; no others are read
    scratch : an empty folder
    progress : told before each training

    Raises
    ------
    TrialDivergedError
        When a parameter of the networks is NaN or infinite.
    """
    everything = folder.records().in_order()
    market = rows.cut(folder.market_data)
    done = []
    with threads_of_a_trial(folder.config):
        for number, record in enumerate(records):
            progress(f"training trial {record.index}", number, len(records))
            stretches = stretches_of(record, everything, folder.config)
            model = train_stretches(stretches, folder.config, market)
            place = scratch / f"trial_{record.index}"
            place.mkdir()
            save_model(model, place / MODEL_FILE)
            normalizer = model.get_vec_normalize_env()
            if normalizer is not None:
                normalizer.save(str(place / VECNORMALIZE_FILE))
            done.append(
                OneTraining(
                    file=place / MODEL_FILE,
                    sample=plain_sample(record.sample),
                    seed=trial_seed(folder.config.seed, stretches[0].sample),
                    timesteps=int(model.num_timesteps),
                )
            )
            if model.env is not None:
                model.env.close()
    progress("trained", len(records), len(records))
    return done
