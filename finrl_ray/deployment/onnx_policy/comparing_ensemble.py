"""How far the actions of an ensemble's file are from `EnsembleModel.predict`.

The file is shown whole stacks of observations, and the ensemble one observation after the other, as
in its env.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray._typing import AnyArray, BoolArray
from finrl_ray.agents.ensemble_model.model import EnsembleModel, mean_action, most_chosen
from finrl_ray.deployment.onnx_policy.comparing import (
    COMPARED,
    ROUNDINGS,
    TOLERANCE,
    acted_of_outputs,
    half_width,
    outputs_of,
    require_alike,
    undecided,
)
from finrl_ray.deployment.onnx_policy.ensemble import (
    chooses,
    input_name,
    members_normalizer,
    seen_by,
    views_of,
)
from finrl_ray.env.orders.discrete import choices_of_space


@dataclass(frozen=True, kw_only=True)
class EnsembleRounding:
    """What float32 does to an ensemble on some rows.

    Parameters
    ----------
    actions : largest move of an action, in the units of `TOLERANCE`, where all members are decided
    undecided : array of shape (M,), where two choices of a member are worth the same up to rounding
    """

    actions: float
    undecided: BoolArray


def compare_ensemble(content: bytes, model: EnsembleModel, rows: Mapping[str, AnyArray]) -> float:
    """Return how far a file's actions are from an ensemble's at most; raise if that is too far.

    Parameters
    ----------
    content : of the file
    model : the ensemble
    rows : by input, float32 arrays of shape (M, ...), each row a stack as the file takes it

    Raises
    ------
    ConfigError
        If it is more than `TOLERANCE` and more than rounding explains.
    """
    runtime = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, dict(rows))
    expected = ensembles_actions(model, rows).reshape(found.shape)
    apart = np.abs(found.astype(np.float64) - expected) / half_width(model.action_space)
    if float(apart.max(initial=0.0)) <= TOLERANCE:
        return float(apart.max(initial=0.0))
    by = ensembles_rounding(model, rows)
    difference = float(apart[~by.undecided].max(initial=0.0))
    allowed = max(TOLERANCE, ROUNDINGS * by.actions)
    require_alike("ensemble", "its members'", difference, allowed)
    return difference


def ensembles_actions(model: EnsembleModel, rows: Mapping[str, AnyArray]) -> AnyArray:
    """Return what an ensemble does that has seen stacks frame by frame, as `predict` gives it.

    Parameters
    ----------
    model : the ensemble
    rows : by input, arrays of shape (M, ...); frames of NaN are not there yet
    """
    views = views_of(model)
    alone = len(views) == 1
    most = max(view.frames for view in views.values())
    # the longest stack says when an episode has begun
    longest = next(name for name, view in views.items() if view.frames == most)
    count, state = len(rows[longest]), None
    missing: BoolArray = np.ones(count, dtype=bool)
    actions: AnyArray = np.zeros(0)
    for step in range(most):
        shown = {}
        for name, view in views.items():
            # what a shorter stack is shown before its own frames it has forgotten at the end
            frame = max(0, step - (most - view.frames))
            own = rows[name][..., frame * view.width : (frame + 1) * view.width]
            shown[name] = np.nan_to_num(own, nan=0.0)
        first = rows[longest][..., step * views[longest].width : (step + 1) * views[longest].width]
        absent: BoolArray = np.asarray(np.isnan(first).reshape(count, -1).all(axis=1))
        start = missing & ~absent
        missing = absent
        observation = next(iter(shown.values())) if alone else shown
        actions, state = model.predict(observation, state, start, deterministic=True)
    return np.asarray(actions)


def ensembles_rounding(model: EnsembleModel, rows: Mapping[str, AnyArray]) -> EnsembleRounding:
    """Return what float32 does to the layers of an ensemble's members.

    Parameters
    ----------
    model : the ensemble
    rows : see `compare_ensemble`
    """
    variants: tuple[list[AnyArray], ...] = ([], [], [])
    unsure = np.zeros(len(next(iter(rows.values()))), dtype=bool)
    for member in model.members:
        outputs = outputs_of(member.model, seen_by(member, rows[input_name(model, member)]))
        unsure |= undecided(member.model, outputs)
        choices = choices_of_space(member.env, member.model.action_space)
        for variant, one in zip(variants, outputs, strict=True):
            action = acted_of_outputs(member.model, one)
            variant.append(action if choices is None else choices.actions_of(action))
    if chooses(model):
        exact, *others = (most_chosen(variant) for variant in variants)
    else:
        options = [member.env for member in model.members]
        exact, *others = (mean_action(variant, options) for variant in variants)
    width = half_width(model.action_space)
    moves = (np.abs(one.astype(np.float64) - exact) / width for one in others)
    moved = max(float(move[~unsure].max(initial=0.0)) for move in moves)
    return EnsembleRounding(actions=moved, undecided=unsure)


def random_views(model: EnsembleModel) -> dict[str, AnyArray]:
    """Return rows around those that the members have seen, some far away, by input; float32."""
    found = {}
    for number, (name, view) in enumerate(views_of(model).items()):
        rng = np.random.default_rng(number)
        drawn = rng.normal(size=(COMPARED, *view.shape))
        drawn[3::4] *= 10.0
        for member in model.members:
            own = members_normalizer(member)
            if own is not None and input_name(model, member) == name:
                mean, deviation = (part[..., : view.width] for part in (own.mean, own.deviation))
                drawn = np.tile(mean, view.frames) + np.tile(deviation, view.frames) * drawn
                break
        if view.frames > 1:
            drawn[0, ..., : -view.width] = np.nan  # the first observation of an episode
        found[name] = drawn.astype(np.float32)
    return found


def acted_views(model: EnsembleModel, env: VecEnv) -> dict[str, AnyArray]:
    """Return what an ensemble is shown in an episode, `COMPARED` rows at most, by input; float32.

    Parameters
    ----------
    model : the ensemble
    env : of one account, without VecNormalize and without stacks
    """
    views = views_of(model)
    stacks = {name: np.full((1, *view.shape), np.nan, np.float32) for name, view in views.items()}
    rows: dict[str, list[AnyArray]] = {name: [] for name in views}
    shown, state, start = env.reset(), None, np.ones(1, dtype=bool)
    for _ in range(COMPARED):
        for name, view in views.items():
            own = shown[name] if isinstance(shown, Mapping) else shown
            latest = np.asarray(own, dtype=np.float32)
            stacks[name] = np.concatenate([stacks[name][..., view.width :], latest], axis=-1)
            rows[name].append(stacks[name])
        actions, state = model.predict(shown, state, start, deterministic=True)  # type: ignore[arg-type]  # one array, or a mapping of them
        shown, _, ended, _ = env.step(actions)
        if ended[0]:
            break
        start = np.zeros(1, dtype=bool)
    return {name: np.concatenate(parts) for name, parts in rows.items()}
