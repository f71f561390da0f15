"""What other choices among the trials of one search would have earned: readings of that search.

A search without another training answers several questions, because they differ only in which trial
is chosen of those that it has trained, or in how many of them trade together:

    reading                          who trades
    ranked                           the trial whose last evaluation is best by `search.rank_by`
    by_METRIC                        the trial that the measure would have ranked first
    mean_K                           the one with the highest mean of its last K evaluations
    best                             the highest single evaluation, with its checkpoint
    last_of_whole                    the winner of those alone that nobody has stopped
    ensemble_K                       the K that rank highest, together
    ensemble_K_whole                 the same, of those that nobody has stopped

Together means that the account goes the mean of the members' ways. With target weights member i
wants weights w_i (its action within 0 and 1, divided by the sum where that is above 1) and goes
r_i = `env.trade_rate` of the way to them: an account of trade rate mean(r_i) that is told
sum(r_i w_i) / sum(r_i) does the mean of that. With share orders it is the mean of the actions, in
the first one's env.
"""

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from known_markets import information_ratio

from finrl_ray._typing import AnyArray, FloatArray
from finrl_ray.agents.model_files import MODEL_FILE
from finrl_ray.agents.models import load_model
from finrl_ray.agents.rollout import HISTORY_KEY
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.data.market_data import MarketData
from finrl_ray.metrics.returns import simple_returns
from finrl_ray.search.folder.checkpoints import CheckpointStorage
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.ranking import result_score
from finrl_ray.search.results.winner import winners_env

RANKED = "ranked"
MEANS = (2, 3, 5)
ENSEMBLES = (3, 5)
MEASURES = ("appraisal_ratio", "sharpe_ratio", "information_ratio")
"""By which a search may rank; by Sharpe ratio it did before the appraisal ratio."""
CAN_WIN = ("completed", "stopped")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Who trades: trial numbers, the first one's env, and after which evaluation.

    Parameters
    ----------
    trials : numbers of the trials, the highest ranked first
    timesteps : of the evaluation whose checkpoint trades; None: each trial's last
    """

    trials: tuple[int, ...]
    timesteps: int | None = None


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What the evaluations of one trial are worth.

    Parameters
    ----------
    trial : its number
    timesteps : of its evaluations, in order
    scores : per measure one number per evaluation; minus infinity where there is none
    whole : whether the trial has trained to its end
    """

    trial: int
    timesteps: tuple[int, ...]
    scores: Mapping[str, Sequence[float]]
    whole: bool = True


def choices(curves: Iterable[Curve], rank_by: str) -> dict[str, Choice]:
    """Return who trades in each reading; none for a reading that the search cannot give.

    Parameters
    ----------
    curves : of the trials that can win, each with at least one evaluation
    rank_by : the measure that ranks; the others are those of the curves
    """
    curves = list(curves)
    measures = list(curves[0].scores) if curves else []
    found: dict[str, Choice] = {}

    def first(name: str, among: Sequence[Curve], worth: Callable[[Curve], float]) -> None:
        ranked = _ranked(among, worth)
        if ranked:
            found[name] = Choice(trials=(ranked[0].trial,))

    first(RANKED, curves, lambda curve: curve.scores[rank_by][-1])
    for measure in measures:
        if measure != rank_by:
            first(f"by_{measure}", curves, lambda curve, m=measure: curve.scores[m][-1])
    for count in MEANS:
        first(
            f"mean_{count}", curves, lambda curve, k=count: _mean_of_last(curve.scores[rank_by], k)
        )
    whole = [curve for curve in curves if curve.whole]
    first("last_of_whole", whole, lambda curve: curve.scores[rank_by][-1])
    highest = _ranked(curves, lambda curve: max(curve.scores[rank_by]))
    if highest:
        scores = list(highest[0].scores[rank_by])
        steps = highest[0].timesteps[scores.index(max(scores))]
        found["best"] = Choice(trials=(highest[0].trial,), timesteps=steps)
    ranked = _ranked(curves, lambda curve: curve.scores[rank_by][-1])
    groups = {"": ranked, "_whole": [curve for curve in ranked if curve.whole]}
    for count in ENSEMBLES:
        for kind, members in groups.items():
            if members:
                trials = tuple(curve.trial for curve in members[:count])
                found[f"ensemble_{count}{kind}"] = Choice(trials=trials)
    return found


def winners_reading(search: SearchConfig) -> str:
    """Return the reading that is what the config itself makes the winner.

    Raises
    ------
    ValueError
        If there is no such reading.
    """
    if search.has_ensemble:
        name = f"ensemble_{search.ensemble}" if search.select == "last" else ""
    else:
        names = {"last": RANKED, "best": "best", "mean": f"mean_{search.averaged}"}
        name = names[search.select]
    known = {RANKED, "best", *(f"mean_{k}" for k in MEANS), *(f"ensemble_{k}" for k in ENSEMBLES)}
    if name not in known:
        raise ValueError(
            f"no reading has select {search.select!r} over {search.averaged} evaluations with "
            f"ensemble {search.ensemble}; add one to MEANS or ENSEMBLES, or run another setup"
        )
    return name


def _ranked(curves: Iterable[Curve], worth: Callable[[Curve], float]) -> list[Curve]:
    """Return the curves that are worth anything, the best first; of equal ones the first trial."""
    valued = [(worth(curve), curve) for curve in curves]
    valued = [(value, curve) for value, curve in valued if value > -math.inf]
    return [curve for _, curve in sorted(valued, key=lambda pair: (-pair[0], pair[1].trial))]


def _mean_of_last(scores: Sequence[float], count: int) -> float:
    last = scores[-count:]
    return math.fsum(last) / len(last)


def curves_of(
    records: Iterable[TrialRecord], config: ExperimentConfig, measures: Sequence[str]
) -> list[Curve]:
    """Return the curves of the trials that can win."""
    configs = {
        name: dataclasses.replace(config, search=dataclasses.replace(config.search, rank_by=name))
        for name in measures
    }
    return [
        Curve(
            trial=record.index,
            timesteps=tuple(result["timesteps"] for result in record.results),
            scores={
                name: [_number(result_score(result, by)) for result in record.results]
                for name, by in configs.items()
            },
            whole=record.state == "completed",
        )
        for record in records
        if record.state in CAN_WIN and record.results and record.checkpoints
    ]


def _number(score: float | None) -> float:
    return -math.inf if score is None else score


@dataclass(kw_only=True)
class FreshTrading:
    """The trials of one search on markets that it has not seen; each choice trades once.

    Parameters
    ----------
    folder : of the search
    windows : one per fresh market, all of one length
    benchmarks : simple returns of buy & hold, per window
    """

    folder: SearchFolder
    windows: Sequence[MarketData]
    benchmarks: Sequence[FloatArray]
    seen: dict[Choice, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.records = {record.index: record for record in self.folder.records().in_order()}
        self.storage = CheckpointStorage(self.folder.path, self.folder.remote)

    def reached(self, choice: Choice) -> tuple[float, float]:
        """Return the mean information ratio beyond buy & hold, and the mean invested share.

        Raises
        ------
        FileNotFoundError
            If the checkpoint of the evaluation is not kept.
        """
        if choice not in self.seen:
            self.seen[choice] = self._trade(choice)
        return self.seen[choice]

    def _trade(self, choice: Choice) -> tuple[float, float]:
        members = [self.records[trial] for trial in choice.trials]
        files = [self._model_file(record, choice.timesteps) for record in members]
        algorithms = [
            config_of_sample(self.folder.config, record.sample).agent.algorithm
            for record in members
        ]
        models = [
            load_model(algorithm, file, device="cpu")
            for algorithm, file in zip(algorithms, files, strict=True)
        ]
        first, rates = members[0], self._trade_rates(members)
        if len(set(rates)) > 1:
            sample = {**first.sample, "env.trade_rate": statistics.fmean(rates)}
            first = dataclasses.replace(first, sample=sample)
        envs = [winners_env(self.folder, first, window, files[0]) for window in self.windows]
        histories = lockstep(envs, [model.predict for model in models], rates)
        ratios = [
            information_ratio(simple_returns(history.account_value), held)
            for history, held in zip(histories, self.benchmarks, strict=True)
        ]
        invested = [
            float(np.mean(1 - history.cash / history.account_value)) for history in histories
        ]
        return float(np.mean(ratios)), float(np.mean(invested))

    def _trade_rates(self, members: Sequence[TrialRecord]) -> list[float]:
        """Return the trade rate of each member; none for share orders, which have none."""
        envs = [config_of_sample(self.folder.config, record.sample).env for record in members]
        return [env.trade_rate for env in envs if env.action == "target_weights"]

    def _model_file(self, record: TrialRecord, timesteps: int | None) -> Path:
        steps = max(record.checkpoints) if timesteps is None else timesteps
        if steps not in record.checkpoints:
            raise FileNotFoundError(f"trial {record.index} has no checkpoint of {steps} timesteps")
        file = Path(self.storage.absolute(record.checkpoints[steps])) / MODEL_FILE
        if not file.is_file():
            raise FileNotFoundError(str(file))
        return file


def lockstep(
    envs: Sequence[Any], predictors: Sequence[Any], rates: Sequence[float] = ()
) -> list[Any]:
    """Return the account's history of each env of one account, all stepped side by side.

    Parameters
    ----------
    envs : vec envs of one account each
    predictors : `predict` of each model
    rates : trade rate of each model, if actions are target weights
    """
    observations = np.concatenate([env.reset() for env in envs])
    histories: list[Any] = [None] * len(envs)
    while any(history is None for history in histories):
        actions = joined([act(observations, deterministic=True)[0] for act in predictors], rates)
        rows = []
        for number, env in enumerate(envs):
            seen, _, done, infos = env.step(actions[number : number + 1])
            rows.append(np.array(seen))
            if done[0] and histories[number] is None:
                histories[number] = infos[0][HISTORY_KEY]
        observations = np.concatenate(rows)
    return histories


def joined(actions: Sequence[AnyArray], rates: Sequence[float] = ()) -> AnyArray:
    """Return one action for several, as the docstring of this file says; one alone stays as it is.

    Parameters
    ----------
    actions : one array of shape (accounts, tickers) per model
    rates : trade rate of each model, if actions are target weights
    """
    if len(actions) == 1:
        return actions[0]
    read = [_as_weights(one) for one in actions] if rates else actions
    mean = np.average(read, axis=0, weights=rates or None)
    return np.asarray(mean, dtype=actions[0].dtype)


def _as_weights(actions: AnyArray) -> AnyArray:
    clipped = np.clip(actions, 0.0, 1.0)
    return np.asarray(clipped / np.maximum(clipped.sum(axis=1, keepdims=True), 1.0))
