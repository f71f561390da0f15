"""An own reward in the envs: what it is told, what is paid for it, and its exact state."""

import pickle
from functools import partial
from typing import Any

import numpy as np
import own_rewards
import pytest
from bit_equality import assert_equal_bits
from env_markets import hand_market, random_market

from finrl_ray.baselines.random_policy import random_policy_curves
from finrl_ray.config.env import EnvConfig
from finrl_ray.env.make import make_env, make_vec_env
from finrl_ray.env.own_reward.terms import TERMS
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.failures import OwnCodeError

SHORT = {"short": True, "action": "target_weights", "fractional_shares": True}
TRADING: tuple[dict[str, Any], ...] = (
    {},
    {"fill": "next_open"},
    {"action": "target_weights", "fractional_shares": True},
    SHORT,
    {"cash_penalty_proportion": 0.3, "cooldown": 2, "stop_loss": 0.98},
)


class Told:
    """A reward that keeps what it was told in the last step, and pays the step's number."""

    def __init__(self) -> None:
        self.terms: dict[str, Any] = {}

    def __call__(self, **terms: Any) -> Any:
        self.terms = terms
        return terms["step"].astype(float)


def test_it_is_told_what_a_step_did_by_hand() -> None:
    # 10 shares of A are bought at 10 for 0.1 % costs, then A rises to 12 and B falls to 19; then
    # 4 of them are sold at 12 and A falls to 9
    market = hand_market([[10.0, 20.0], [12.0, 19.0], [9.0, 19.0], [9.0, 19.0]])
    told = Told()
    env = StockTradingVecEnv(
        market, 1, reward=told, hmax=10, initial_amount=1000.0, buy_cost_pct=0.001,
        sell_cost_pct=0.002,
    )  # fmt: skip
    env.reset()
    _, paid, _, _ = env.step(np.array([[1.0, 0.0]]))
    first = told.terms
    assert tuple(first) == tuple(TERMS)
    assert paid.tolist() == [1.0]
    expected = {
        "account_value": 1000 - 100 - 0.1 + 120,
        "account_value_before": 1000,
        "cash": 899.9,
        "cash_before": 1000,
        "shares": [10, 0],
        "shares_before": [0, 0],
        "weights": [120 / 1019.9, 0],
        "weights_before": [0, 0],
        "close": [12, 19],
        "close_before": [10, 20],
        # 500 each buy 49 whole shares at 10.01 and 24 at 20.02, and leave 29.03
        "benchmark_value": 29.03 + 49 * 12 + 24 * 19,
        "benchmark_value_before": 1000,
        "trades": [10, 0],
        "traded_amount": 100,
        "cost": 0.1,
        "drawdown": 0,
        "drawdown_before": 0,
        "recent_account_values": [*[1000] * 251, 1019.9],
        "step": 1,
        "day": 1,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(first[name][0], value, rtol=1e-12, atol=1e-9, err_msg=name)
    assert first["date"][0] == market.dates[1]
    env.step(np.array([[-0.4, 0.0]]))
    second = told.terms
    after = 899.9 + 48 - 0.096 + 6 * 9
    expected = {
        "account_value": after,
        "account_value_before": 1019.9,
        "cash": after - 54,
        "trades": [-4, 0],
        "traded_amount": 48,
        "cost": 0.096,
        "benchmark_value": 29.03 + 49 * 9 + 24 * 19,
        "benchmark_value_before": 29.03 + 49 * 12 + 24 * 19,
        "drawdown": after / 1019.9 - 1,
        "drawdown_before": 0,
        "recent_account_values": [*[1000] * 250, 1019.9, after],
        "step": 2,
        "day": 2,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(second[name][0], value, rtol=1e-12, atol=1e-9, err_msg=name)


def test_shapes_and_kinds_of_what_it_is_told_are_those_of_the_table() -> None:
    told = Told()
    env = StockTradingVecEnv(random_market(n_assets=3), 5, reward=told)
    env.reset()
    env.step(np.ones((5, 3)))
    sizes = {"(E,)": (5,), "(E, N)": (5, 3), "(E, 252)": (5, 252)}
    for name, values in told.terms.items():
        assert values.shape == sizes[TERMS[name].shape], name
        assert not values.flags.writeable, name
        whole = {"step": np.int64, "day": np.int64, "date": np.dtype("datetime64[ns]")}
        assert values.dtype == whole.get(name, np.float64), name


@pytest.mark.parametrize("options", TRADING, ids=str)
@pytest.mark.parametrize(("own", "built_in"), [("active", "active"), ("log_growth", "log_return")])
def test_it_pays_what_the_reward_of_the_package_pays(
    options: dict[str, Any], own: str, built_in: str
) -> None:
    market = random_market(60)
    kwargs: dict[str, Any] = {"hmax": 50, "random_start": True, **options}
    function = getattr(own_rewards, own)
    mine = StockTradingVecEnv(market, 4, reward=function, reward_scaling=100.0, **kwargs)
    other = StockTradingVecEnv(market, 4, reward=built_in, **kwargs)
    for env in (mine, other):
        env.seed(3)
    np.testing.assert_array_equal(mine.reset(), other.reset())
    rng = np.random.default_rng(1)
    for _ in range(150):
        actions = rng.uniform(-1, 1, (4, 3)).astype(np.float32)
        seen, paid, dones, infos = mine.step(actions)
        same, expected, ended, said = other.step(actions)
        np.testing.assert_array_equal(seen, same)
        np.testing.assert_array_equal(dones, ended)
        np.testing.assert_allclose(paid, expected, rtol=1e-6, atol=1e-6)
        for index in np.flatnonzero(dones):
            history, known = (i[index]["account_history"] for i in (infos, said))
            np.testing.assert_array_equal(history.account_value, known.account_value)
            np.testing.assert_allclose(history.rewards, known.rewards, rtol=1e-9, atol=1e-12)
            r, expected_r = (i[index]["episode"]["r"] for i in (infos, said))
            assert r == pytest.approx(expected_r, abs=1e-4)


def test_the_cash_penalty_is_taken_off_as_a_share_of_the_account() -> None:
    # all 1000 are put into 100 shares at 10, which stay at 10: 0.4 of the account is missing
    market = hand_market([[10.0], [10.0], [10.0]])
    env = StockTradingEnv(
        market, reward=own_rewards.drawdown, cash_penalty_proportion=0.4, reward_scaling=3.0,
        initial_amount=1000.0, buy_cost_pct=0.0, hmax=100,
    )  # fmt: skip
    env.reset()
    _, paid, _, _, _ = env.step(np.array([1.0]))
    assert paid == pytest.approx(-1.2)
    # histories hold what the function returned
    assert env.account_history.rewards.tolist() == [0.0]


@pytest.mark.parametrize("name", ["active", "drawdown", "growth_of_21_days", "an_object"])
def test_an_account_is_paid_the_same_alone_and_among_64(name: str) -> None:
    market, reward = random_market(80), getattr(own_rewards, name)
    rng = np.random.default_rng(2)
    actions = rng.uniform(-1, 1, (79, 64, 3)).astype(np.float32)
    many = StockTradingVecEnv(market, 64, reward=reward)
    many.reset()
    paid = np.array([many.step(now)[1] for now in actions])
    for index in (0, 17, 63):
        single = StockTradingEnv(market, reward=reward)
        single.reset()
        alone = [single.step(now[index])[1] for now in actions]
        np.testing.assert_array_equal(np.array(alone, dtype=np.float32), paid[:, index])


@pytest.mark.parametrize("options", TRADING, ids=str)
def test_a_run_goes_on_bit_for_bit_from_its_state(options: dict[str, Any]) -> None:
    market = random_market(60)
    config = EnvConfig(
        reward="own_rewards:active", reward_kwargs={"scale": 7.0}, random_start=True, **options
    )
    rng = np.random.default_rng(3)
    actions = rng.uniform(-1, 1, (90, 3, 3)).astype(np.float32)
    whole = make_vec_env(market, config, n_envs=3, seed=5)
    whole.reset()
    expected = [whole.step(now)[:2] for now in actions]
    first = make_vec_env(market, config, n_envs=3, seed=5)
    first.reset()
    for now in actions[:41]:
        first.step(now)
    second = make_vec_env(market, config, n_envs=3, seed=99)
    second.reset()
    second.set_state(pickle.loads(pickle.dumps(first.get_state())))
    got = [second.step(now)[:2] for now in actions[41:]]
    assert_equal_bits(expected[41:], got)


def test_a_drawdown_goes_on_from_the_peak_of_the_episode() -> None:
    # the account rises to 2000 and falls back to 1000: half is lost, before a resume and after it
    market = hand_market([[10.0], [20.0], [10.0], [10.0], [10.0]])
    kwargs: dict[str, Any] = {
        "reward": own_rewards.drawdown, "initial_amount": 1000.0, "buy_cost_pct": 0.0, "hmax": 100,
    }  # fmt: skip
    env = StockTradingEnv(market, **kwargs)
    env.reset()
    paid = [env.step(np.array([a]))[1] for a in (1.0, 0.0)]
    other = StockTradingEnv(market, **kwargs)
    other.reset()
    other.set_state(env.get_state())
    paid.append(other.step(np.array([0.0]))[1])
    assert paid == pytest.approx([0.0, -0.5, -0.5])
    # the next episode has a peak of its own
    other.reset()
    assert other.step(np.array([0.0]))[1] == 0.0


def test_a_total_loss_is_paid_as_it_stands_in_the_account() -> None:
    # 90 shares are owed at 10, and the price rises to 100: the broker closes the account
    market = hand_market([[10.0], [100.0], [100.0], [100.0]])
    env = StockTradingEnv(
        market, reward=own_rewards.log_growth, initial_amount=1000.0, sell_cost_pct=0.0, hmax=90,
        short=True,
    )  # fmt: skip
    env.reset()
    _, paid, terminated, _, info = env.step(np.array([-1.0]))
    assert terminated
    assert paid == pytest.approx(np.log(1e-12))
    assert info["account_history"].rewards.tolist() == pytest.approx([np.log(1e-12), 0.0, 0.0])


def test_an_object_from_a_config_is_named_by_its_place() -> None:
    config = EnvConfig(reward=own_rewards.log_growth)  # type: ignore[arg-type]
    assert config.reward == "own_rewards:log_growth"
    assert make_env(random_market(), config).reward_scaling == 1.0


def test_rewards_of_a_lambda_are_taken_by_an_env_and_not_by_a_config() -> None:
    reward = lambda cash: 0.0 * cash  # noqa: E731
    StockTradingVecEnv(random_market(), 2, reward=reward)
    with pytest.raises(ConfigError, match=r"env.reward: .*<lambda> .* inside a function"):
        EnvConfig(reward=reward)  # type: ignore[arg-type]
    bound = partial(own_rewards.active, scale=2.0)
    StockTradingVecEnv(random_market(), 2, reward=bound)


def test_what_it_is_told_cannot_be_written_to() -> None:
    with pytest.raises(OwnCodeError, match=r"read-only.*own_rewards.py, line \d+: cash\[0\] = 1e9"):
        StockTradingVecEnv(random_market(), 2, reward=own_rewards.writes)


FAULTS = {
    "raises": r"IndexError.*own_rewards.py, line \d+: return weights\[:, 100\]",
    "nan_in_losses": r"nan_in_losses .*line \d+\) returns nan for an ordinary step .*told "
    r"account_value \d+.*account_value_before \d+.*np.maximum",
    "zero_cost": r"returns inf for a step without trades and costs .*cost 0",
    "too_large": r"too_large .*e\+4\d for an ordinary step .*float32",
    "one_number": r"line \d+\) must return one number per account, an array of shape \(1,\) and "
    r"float64, got float64 of shape \(\)",
    "a_column": r"shape \(1,\) and float64, got ndarray of shape \(1, 1\)",
    "words": "must return one number per account.*got list of shape",
    "mean_over_accounts": r"entry i must depend on account i alone.*axis=1",
    "first_account": r"entry i must depend on account i alone",
    "random": "when it is asked again with the same arguments; it must depend on its arguments",
    "remembers": "no clock, nothing kept from earlier calls",
    "misspelt": r"line \d+\) asks for 'acount_value', .* Did you mean 'account_value'\?",
    "by_position": "takes 'account_value' by position only.*remove the /",
    "Weighted": "must be a function that returns one number per account.* is no class",
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_said_before_a_step_is_made(name: str) -> None:
    with pytest.raises(ConfigError, match=FAULTS[name]) as caught:
        make_vec_env(random_market(), EnvConfig(reward=f"own_rewards:{name}"), n_envs=2)
    assert f"env.reward own_rewards:{name}" in str(caught.value)


def test_a_number_that_is_none_is_said_with_the_day_and_what_gave_it() -> None:
    env = StockTradingVecEnv(random_market(200), 3, reward=own_rewards.only_late)
    env.reset()
    for _ in range(116):
        env.step(np.zeros((3, 3)))
    with pytest.raises(
        OwnCodeError,
        match=r"own_rewards:only_late \(.*own_rewards.py, line \d+\) paid nan to account 0 in step "
        r"117 of its episode, to 2020-04-27.*told account_value 1e\+06, day 117",
    ):
        env.step(np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reward": "actve"}, r"reward must be one of 'account_change', .*my_reward:reward.*actve"),
        (
            {"reward_kwargs": {"scale": 1}},
            "reward_kwargs are keywords of an own reward, and reward",
        ),
        (
            {"reward": "own_rewards:active", "reward_kwargs": {"scal": 1.0}},
            r"takes no 'scal', which env.reward_kwargs holds.* Did you mean 'scale'\?",
        ),
        (
            {"reward": "own_rewards:active", "reward_kwargs": {"account_value": 1.0}},
            "env.reward_kwargs cannot hold it",
        ),
        ({"reward": "own_rewards:none"}, "has no 'none'"),
        ({"reward": "no_such_file:reward"}, "there is no module 'no_such_file'"),
        ({"reward": "own_rewards:active", "parity": True}, "parity reproduces FinRL"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_env(random_market(), EnvConfig(**options))


def test_accounts_that_nobody_learns_from_need_no_code_of_the_users() -> None:
    config = EnvConfig(reward="no_such_module:reward", reward_scaling=3.0, cooldown=2)
    plain = EnvConfig(cooldown=2)
    assert config.without_own_reward() == plain == config.of_this_package()
    assert plain.without_own_reward() is plain
    curves = random_policy_curves(random_market(), config, seed=1, n_accounts=3)
    np.testing.assert_array_equal(
        curves, random_policy_curves(random_market(), plain, seed=1, n_accounts=3)
    )


def test_finrls_last_step_has_no_own_reward() -> None:
    with pytest.raises(ConfigError, match="an own reward needs the mended time_limit 'truncate'"):
        StockTradingEnv(random_market(), reward=own_rewards.active, time_limit="dummy_step")
    with pytest.raises(ConfigError, match=r"parity=True.*leave \['reward'\] out"):
        StockTradingEnv(random_market(), reward=own_rewards.active, parity=True)
