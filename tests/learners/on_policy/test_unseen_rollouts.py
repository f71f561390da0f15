"""Rollouts that nobody sees leave behind what the ordinary ones leave."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from bit_equality import assert_equal_bits
from env_markets import random_market
from on_policy_cases import steps_interrupted
from stable_baselines3.common import callbacks as sb3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure

from finrl_ray._typing import FloatArray
from finrl_ray.agents.state.training_state import capture_state
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import DataError
from finrl_ray.learners.on_policy import compiled_rollouts
from finrl_ray.learners.on_policy.fused import FusedA2C
from finrl_ray.learners.on_policy.per_ticker import PerTickerPolicy
from finrl_ray.learners.vec_normalize import LeanVecNormalize


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    th.set_num_threads(1)


class Logged(sb3.BaseCallback):
    """Shown every rollout, so that none is unseen."""

    def next_needed_timestep(self, num_timesteps: int) -> None:
        return None

    def _on_step(self) -> bool:
        return True


class Subclass(FusedA2C):
    """Trained by SB3's own loop."""


def with_prices(market: MarketData, factors: FloatArray) -> MarketData:
    return dataclasses.replace(market, close=market.close * factors[:, np.newaxis])


def make_model(
    *,
    normalize: bool = False,
    market: MarketData | None = None,
    policy: Any = "MlpPolicy",
    policy_kwargs: dict[str, Any] | None = None,
    kind: Any = FusedA2C,
    **rules: Any,
) -> Any:
    market = random_market(60, halts=0.1) if market is None else market
    env: Any = StockTradingVecEnv(market, 1, **{"random_start": True, **rules})
    env.seed(3)
    if normalize:
        env = LeanVecNormalize(env)
    return kind(
        policy,
        env,
        learning_rate=lambda rest: 3e-3 * rest,
        policy_kwargs=policy_kwargs or {"net_arch": [16, 24]},
        seed=3,
        device="cpu",
    )


def left_behind(model: Any) -> dict[str, Any]:
    known = model.logger.name_to_value.items()
    buffer = model.rollout_buffer
    names = ("observations", "actions", "rewards", "values", "returns", "advantages", "log_probs")
    return {
        **capture_state(model),
        "logged": {name: value for name, value in known if not name.startswith("time")},
        "rollout": {name: getattr(buffer, name) for name in names},
        "buffer": (buffer.pos, buffer.full, buffer.generator_ready),
        "rate": model.policy.optimizer.param_groups[0]["lr"],
        "updates": model._n_updates,
    }


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rollouts nobody has seen, each time."""
    counted: list[int] = []

    take = FusedA2C._take_unseen

    def counting(model: Any, *given: Any) -> int:
        counted.append(take(model, *given))
        return counted[-1]

    monkeypatch.setattr(FusedA2C, "_take_unseen", counting)
    return counted


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("log_interval", [1, 7, None])
def test_everything_is_as_if_each_rollout_were_seen(
    unseen: list[int], normalize: bool, log_interval: int | None
) -> None:
    states = []
    for callback, kind in ((None, FusedA2C), (Logged(), FusedA2C), (None, Subclass)):
        model = make_model(normalize=normalize, kind=kind)
        model.learn(403, callback=callback, log_interval=log_interval)
        states.append(left_behind(model))
    assert_equal_bits(*states[:2])
    assert_equal_bits(*states[1:])
    assert sum(unseen) == 0 if log_interval == 1 else sum(unseen) > 40


def test_a_callback_of_sb3_is_called_at_its_step_and_counts_all(unseen: list[int]) -> None:
    class Inner(BaseCallback):
        def __init__(self) -> None:
            super().__init__()
            self.at: list[Any] = []

        def _on_step(self) -> bool:
            self.at.append((self.num_timesteps, self.locals["n_steps"]))
            th.randn(3)
            return True

    found, states = [], []
    for more in ([], [Logged()]):
        model, inner = make_model(), Inner()
        every = sb3.EveryNTimesteps(64, inner)
        model.learn(400, callback=[every, *more])
        found.append((inner.at, every.n_calls, every.num_timesteps))
        states.append(left_behind(model))
    assert found[0] == found[1]
    assert len(found[0][0]) == 6
    assert_equal_bits(*states)
    assert sum(unseen) > 30


RUINED_AT = 43


def make_ruined(*, normalize: bool = False) -> Any:
    """Return a model that sells all short, until prices rise to where nothing is left."""
    rise = np.where(np.arange(80) < RUINED_AT, 1.0, 1e4)
    market = with_prices(random_market(80), rise)
    model = make_model(normalize=normalize, market=market, short=True, random_start=False)
    with th.no_grad():
        model.policy.action_net.bias.fill_(-9.0)
    return model


@pytest.mark.long  # half a minute where nothing is compiled
@pytest.mark.parametrize("normalize", [False, True])
def test_an_account_that_loses_all_ends_an_unseen_rollout(
    unseen: list[int], normalize: bool
) -> None:
    states = []
    for callback in (None, Logged()):
        model = make_ruined(normalize=normalize)
        model.learn(200, callback=callback)
        states.append(left_behind(model))
        assert model.ep_info_buffer[0]["l"] == RUINED_AT
    assert_equal_bits(*states)
    assert sum(unseen) > 20


@pytest.mark.long
def test_a_stop_at_the_end_of_an_episode_leaves_the_rollout_begun() -> None:
    """Of the rollouts before it nothing is left in the buffer."""
    states = []
    for more in ([], [Logged()]):
        model = make_ruined()
        model.learn(200, callback=[sb3.StopTrainingOnMaxEpisodes(1), *more])
        states.append(left_behind(model))
        assert model.num_timesteps == RUINED_AT
        assert model.rollout_buffer.pos == (RUINED_AT - 1) % 5
    assert_equal_bits(*states)


@pytest.mark.long
def test_an_interrupt_before_a_rollout_that_is_begun_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody has counted its steps: the next training begins anew, as in the ordinary path."""
    collect, run = FusedA2C._collect_compiled, compiled_rollouts.CompiledSteppers.run

    def interrupted(*given: Any) -> Any:
        if given[0]._begun is not None:
            raise KeyboardInterrupt
        return collect(*given)

    def interrupted_run(*given: Any) -> Any:
        last, ending, status = run(*given)
        if last < given[-1] - 1:
            raise KeyboardInterrupt
        return last, ending, status

    states = []
    for callback in (None, Logged()):
        model = make_ruined()
        with monkeypatch.context() as patch:
            patch.setattr(FusedA2C, "_collect_compiled", interrupted)
            patch.setattr(compiled_rollouts.CompiledSteppers, "run", interrupted_run)
            with pytest.raises(KeyboardInterrupt):
                model.learn(200, callback=callback)
        assert model.num_timesteps == 40
        assert model._last_obs is None
        assert model._begun is None
        model.learn(30, callback=callback, reset_num_timesteps=False)
        assert model.num_timesteps == 70
        states.append(left_behind(model))
    assert_equal_bits(*states)


def test_a_step_that_is_refused_in_an_unseen_rollout(unseen: list[int]) -> None:
    states = []
    for callback in (None, Logged()):
        market = with_prices(random_market(40), np.where(np.arange(40) < 17, 1.0, 1e36))
        model = make_model(market=market, random_start=False, initial_amount=1e5)
        with pytest.raises(DataError, match="float32"):
            model.learn(100, callback=callback)
        books, pos = model.env.accounts.books, model.rollout_buffer.pos
        account = {"shares": books.shares, "ledger": books.ledger}
        where = {"at": model.num_timesteps, "pos": pos, "last": model._last_obs}
        rows = model.rollout_buffer.rewards[:pos]
        states.append({**account, **where, "rows": rows, "random": th.get_rng_state()})
    assert_equal_bits(*states)
    assert model.num_timesteps > 5


def test_a_policy_that_is_spoilt_says_so_after_the_update(unseen: list[int]) -> None:
    spoilt = {"net_arch": [8], "log_std_init": 1e38}
    for callback in (None, Logged()):
        model = make_model(policy_kwargs=spoilt)
        with pytest.raises(ValueError, match="Expected parameter"):
            model.learn(20, callback=callback)
        assert model.num_timesteps == 5


def test_training_begins_anew_after_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    model.learn(20)
    with steps_interrupted(monkeypatch), pytest.raises(KeyboardInterrupt):
        model.learn(100, reset_num_timesteps=False)
    assert model._last_obs is None
    model.learn(20, reset_num_timesteps=False)
    assert model.num_timesteps == 40


@pytest.mark.parametrize("normalize", [False, True])
def test_an_interrupt_within_an_update_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, normalize: bool
) -> None:
    """As in the ordinary path: an update is left out, and the account stands where it stood."""
    learn_from = FusedA2C._learn_from

    def interrupted(*given: Any) -> Any:
        if given[0].num_timesteps == 35:
            raise KeyboardInterrupt
        return learn_from(*given)

    states = []
    for callback in (None, Logged()):
        model = make_model(normalize=normalize)
        with monkeypatch.context() as patch:
            patch.setattr(FusedA2C, "_learn_from", interrupted)
            with pytest.raises(KeyboardInterrupt):
                model.learn(200, callback=callback)
        assert model.num_timesteps == 35
        model.learn(60, callback=callback, reset_num_timesteps=False)
        states.append(left_behind(model))
    assert_equal_bits(*states)


def test_statistics_outlive_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters have learned with them."""
    model = make_model(normalize=True)
    with monkeypatch.context() as patch:

        def interrupted(*given: Any) -> Any:
            if model.num_timesteps == 40:
                raise KeyboardInterrupt
            return run_steps(*given)

        run_steps = compiled_rollouts.run_steps
        patch.setattr(compiled_rollouts, "run_steps", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.learn(200)
    assert model.num_timesteps == 40
    assert model.env.obs_rms.count > 40


def test_a_policy_that_is_one_for_all_tickers(unseen: list[int]) -> None:
    """Its weights are laid out anew after each update."""
    states = []
    for callback in (None, Logged()):
        model = make_model(policy=PerTickerPolicy, observation="stationary")
        model.learn(203, callback=callback)
        states.append(left_behind(model))
    assert_equal_bits(*states)
    assert sum(unseen) > 20


def test_one_training_after_another(unseen: list[int], tmp_path: Path) -> None:
    """With another env, a seed, a logger, and a file between them."""
    states = []
    for callback in (None, Logged()):
        model = make_model(normalize=True)
        model.learn(52, callback=callback)
        model.learn(33, callback=callback, reset_num_timesteps=False)
        model.set_random_seed(5)
        model.learn(40, callback=callback)
        model.set_env(make_model(normalize=True).env)
        model.set_logger(configure(str(tmp_path), []))
        model.learn(60, callback=callback, log_interval=4, reset_num_timesteps=False)
        model.save(tmp_path / "model")
        again = FusedA2C.load(tmp_path / "model", env=model.env, device="cpu")
        again.learn(41, callback=callback, reset_num_timesteps=False)
        states.append({"first": left_behind(model), "again": left_behind(again)})
    assert_equal_bits(*states)
    assert sum(unseen) > 20


def test_what_does_more_in_each_rollout_is_asked_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    class Counting(FusedA2C):
        def collect_rollouts(self, *given: Any, **named: Any) -> bool:
            calls.append("collect")
            return super().collect_rollouts(*given, **named)

        def train(self) -> None:
            calls.append("train")
            super().train()

    make_model(kind=Counting).learn(50)
    assert calls == ["collect", "train"] * 10
    model = make_model()
    train = model.train
    monkeypatch.setattr(model, "train", lambda: (calls.append("mine"), train()))
    model.learn(50)
    assert calls[20:] == ["mine"] * 10


@pytest.mark.filterwarnings("ignore:rich is experimental")
def test_a_progress_bar_counts_all_steps(unseen: list[int]) -> None:
    pytest.importorskip("tqdm", reason="SB3's progress bar needs it")
    bars, states = [], []
    for more in ([], [Logged()]):
        model, bar = make_model(), sb3.ProgressBarCallback()
        model.learn(103, callback=[bar, *more])
        bars.append((bar.pbar.n, bar.n_calls, bar.num_timesteps))
        states.append(left_behind(model))
    assert bars[0] == bars[1] == (105, 105, 105)
    assert_equal_bits(*states)
    assert sum(unseen) > 10


def test_a_callback_that_acts_at_rollouts_is_called_at_each() -> None:
    class Ends(sb3.EvalCallback):
        ends = 0

        def _on_rollout_end(self) -> None:
            self.ends += 1

    model = make_model()
    ends = Ends(model.env, eval_freq=0)
    model.learn(50, callback=ends)
    assert ends.ends == 10


def test_callbacks_find_what_sb3_gives_them_at_the_start() -> None:
    class Start(Logged):
        def _on_training_start(self) -> None:
            self.found = set(self.locals), self.globals["__name__"]

    found = []
    for kind in (FusedA2C, Subclass):
        start = Start()
        make_model(kind=kind).learn(5, callback=start)
        found.append(start.found)
    assert found[0] == found[1]


def test_a_log_every_0_rollouts_is_refused_after_the_first() -> None:
    model = make_model()
    with pytest.raises(ZeroDivisionError):
        model.learn(50, log_interval=0)
    assert model.num_timesteps == 5
