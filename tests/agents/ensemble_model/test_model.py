"""The mean of several models' actions: numbers worked out by hand, and what is refused."""

import numpy as np
import pytest
from gymnasium import spaces
from small_models import small_env, small_model
from stable_baselines3.common.vec_env import VecNormalize
from told_models import seen_by, told_member

from finrl_ray.agents.ensemble_model.model import (
    EnsembleModel,
    Member,
    mean_action,
    most_chosen,
    shared_env_config,
)
from finrl_ray.agents.models import save_model
from finrl_ray.agents.normalization import read_statistics
from finrl_ray.config.env import EnvConfig
from finrl_ray.errors import ConfigError

NOTHING = np.zeros(3, dtype=np.float32)


def weights_env(**options) -> EnvConfig:
    return EnvConfig(action="target_weights", **options)


def act(*members, observation=NOTHING):
    return EnsembleModel(members).predict(observation, deterministic=True)[0]


# -- by hand ------------------------------------------------------------------------------------


def test_the_mean_is_of_weights_and_not_of_what_the_policies_say() -> None:
    # 1 and 1 are weights of 0.5 and 0.5; -1 and 0.2 are 0 and 0.2
    found = act(told_member([[1.0, 1.0]]), told_member([[-1.0, 0.25]]))
    np.testing.assert_array_equal(found, [0.25, 0.375])


def test_a_slow_trader_counts_by_its_rate() -> None:
    # ways of 1.0 and 0.25: (1.0 * 0.5 + 0.25 * 1.0) / 1.25 and (1.0 * 0.5 + 0) / 1.25
    fast, slow = told_member([[0.5, 0.5]]), told_member([[1.0, 0.0]], trade_rate=0.25)
    np.testing.assert_allclose(act(fast, slow), [0.6, 0.4], rtol=1e-15)
    account = shared_env_config([fast.env, slow.env], 2)
    assert account.trade_rate == 0.625
    # from weights of 0.2 and 0.4: the members would come to 0.5, 0.5 and to 0.4, 0.3
    now = np.array([0.2, 0.4])
    come_to = now + account.trade_rate * (act(fast, slow) - now)
    np.testing.assert_allclose(come_to, [(0.5 + 0.4) / 2, (0.5 + 0.3) / 2], rtol=1e-15)


def test_each_member_is_cut_off_at_its_own_largest_weight() -> None:
    # 0.8 is cut off at 0.3 and stays 0.8; cash takes the rest
    found = act(told_member([[0.8, 0.0]], max_weight=0.3), told_member([[0.8, 0.0]]))
    np.testing.assert_allclose(found, [0.55, 0.0], rtol=1e-7)
    assert shared_env_config([weights_env(max_weight=0.3), weights_env()], 2).max_weight == 1.0


def test_what_zeros_stand_for_is_each_members_own() -> None:
    # 0 and -0.75 are 0.5 and 0; 0 and 0.25 stay
    own = {"zero_action": "equal_weights"}
    one, other = told_member([[0.0, -0.75]], **own), told_member([[0.0, 0.25]])
    np.testing.assert_array_equal(act(one, other), [0.25, 0.125])
    np.testing.assert_array_equal(act(other, one), [0.25, 0.125])
    assert shared_env_config([one.env, other.env], 2).zero_action == "cash"
    # alone, a member's account is told weights too
    np.testing.assert_array_equal(act(one), [0.5, 0.0])
    assert shared_env_config([one.env], 2).zero_action == "cash"


def test_shares_owed_are_weights_below_zero() -> None:
    # -1 and 1 are -0.5 and 0.5, 0.5 and 0.25 stay
    found = act(told_member([[-1.0, 1.0]], short=True), told_member([[0.5, 0.25]], short=True))
    np.testing.assert_array_equal(found, [0.0, 0.375])


def test_orders_are_averaged_with_their_signs() -> None:
    options = [EnvConfig(), EnvConfig()]
    one, other = np.array([1.0, 0.5], np.float32), np.array([-0.5, 0.5], np.float32)
    found = mean_action([one, other], options)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array([0.25, 0.5], np.float32))
    assert shared_env_config(options, 2) == EnvConfig()


def test_bands_are_averaged_the_default_as_its_number() -> None:
    # of 20 tickers the default is 0.2 / 20 = 0.01
    options = [weights_env(), weights_env(no_trade_band=0.03)]
    assert shared_env_config(options, 20).no_trade_band == pytest.approx(0.02, rel=1e-15)
    assert shared_env_config([weights_env()] * 3, 20).no_trade_band is None


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.7, 1.0])
def test_equal_members_are_one_member(rate) -> None:
    options = [weights_env(trade_rate=rate)] * 3
    assert shared_env_config(options, 5) == options[0]
    action = np.random.default_rng(0).uniform(-1, 1, 5).astype(np.float32)
    alone = mean_action([action], options[:1])
    np.testing.assert_allclose(mean_action([action] * 3, options), alone, rtol=1e-15)


# -- as SB3's models have it ---------------------------------------------------------------------


def test_the_state_of_each_member_is_handed_on() -> None:
    members = [told_member([[0.2, 0.0], [0.4, 0.0]]), told_member([[0.0, 0.6], [0.0, 0.8]])]
    model = EnsembleModel(members)
    batch = np.zeros((2, 3), dtype=np.float32)
    first, state = model.predict(batch, episode_start=np.ones(2, bool))
    assert state == (1, 1)
    second, _ = model.predict(batch, state=state)
    np.testing.assert_allclose(first, [[0.1, 0.3]] * 2, rtol=1e-6)
    np.testing.assert_allclose(second, [[0.2, 0.4]] * 2, rtol=1e-6)


def test_members_of_different_views_see_their_own() -> None:
    one = told_member([[0.5, 0.5]], size=3, view="a")
    other = told_member([[0.5, 0.5]], size=4, view="b")
    model = EnsembleModel([one, other])
    assert {name: s.shape for name, s in model.observation_space.spaces.items()} == {
        "a": (3,),
        "b": (4,),
    }
    model.predict({"a": np.ones(3), "b": np.full(4, 2.0)})
    assert seen_by(one)[0].tolist() == [1.0] * 3
    assert seen_by(other)[0].tolist() == [2.0] * 4
    with pytest.raises(ConfigError, match=r"must have 'b', which a member sees, got \['a'\]"):
        model.predict({"a": np.ones(3)})


def test_real_models_act_as_their_mean_each_under_its_own_statistics(tmp_path) -> None:
    members, envs = [], []
    for seed in (0, 1):
        model = small_model("ppo", 2)
        model.set_random_seed(seed)
        model.learn(64 * (seed + 1))
        save_model(model, tmp_path / f"{seed}.zip")
        statistics = read_statistics(tmp_path / f"{seed}.zip")
        assert statistics is not None
        members.append((model, statistics))
        normalizer = model.get_vec_normalize_env()
        assert isinstance(normalizer, VecNormalize)
        envs.append(normalizer)
    told = [told_member([[0.0, 0.0]], size=5) for _ in members]
    own = [
        type(one)(model=model, env=one.env, statistics=statistics)
        for one, (model, statistics) in zip(told, members, strict=True)
    ]
    ensemble = EnsembleModel(own)
    raw = small_env(2, noise=0.1).reset()
    by_hand = []
    for normalizer, (model, _) in zip(envs, members, strict=True):
        action, _ = model.predict(normalizer.normalize_obs(raw), deterministic=True)
        weights = np.clip(action, 0.0, 1.0).astype(np.float64)
        by_hand.append(weights / np.maximum(weights.sum(axis=1, keepdims=True), 1.0))
    assert not np.array_equal(*by_hand)
    found, state = ensemble.predict(raw, deterministic=True)
    np.testing.assert_array_equal(found, (by_hand[0] + by_hand[1]) / 2)
    assert state is None


def test_choices_count_as_what_they_stand_for() -> None:
    # 5 of a product holds the first and buys the second; 8 buys both: a half and a whole hmax
    orders = {"action": "orders", "no_trade_band": None, "discrete_actions": "product"}
    members = [told_member([[number]], **orders) for number in (5, 8)]
    for member, number in zip(members, (5, 8), strict=True):
        member.model.action_space = spaces.Discrete(9)
        member.model.actions = np.array([number])
    ensemble = EnsembleModel(members)
    found, _ = ensemble.predict(NOTHING, deterministic=True)
    np.testing.assert_array_equal(found, [0.5, 1.0])
    assert ensemble.action_space.shape == (2,)
    assert shared_env_config([one.env for one in members], 2).discrete_actions == "none"


def test_choices_beside_numbers_are_weights_too() -> None:
    # in both is 0.5 and 0.5; the other wants 0.25 of each
    chosen = told_member([[1, 1]], discrete_actions="per_ticker", zero_action="equal_weights")
    chosen.model.action_space = spaces.MultiDiscrete([2, 2])
    chosen.model.actions = np.array([[1, 1]])
    found = act(chosen, told_member([[0.25, 0.25]]))
    np.testing.assert_array_equal(found, [0.375, 0.375])


# -- refused ---------------------------------------------------------------------------------------


def test_choices_in_an_own_env_are_put_to_the_vote() -> None:
    votes = [np.array([2, 0, 1]), np.array([2, 1, 0]), np.array([0, 1, 2])]
    assert most_chosen(votes).tolist() == [2, 1, 0]  # of three that are as many the least


def test_choices_that_begin_below_0_are_counted() -> None:
    votes = [np.array([-1, 1]), np.array([-1, -1]), np.array([1, 0])]
    assert most_chosen(votes).tolist() == [-1, -1]
    assert most_chosen([np.array(-1), np.array(-1), np.array(1)]).tolist() == -1


def test_bits_are_put_to_the_vote() -> None:
    members = [told_member([bits]) for bits in ([1, 0, 1], [1, 1, 0], [0, 0, 0])]
    for member in members:
        member.model.action_space = spaces.MultiBinary(3)
    assert act(*members).tolist() == [1, 0, 0]


def test_no_member_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs at least one model"):
        EnsembleModel([])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cooldown": 5}, "env.cooldown 5 and not 0"),
        ({"stop_loss": 0.9}, "env.stop_loss 0.9 and not None"),
        ({"short": True}, "env.short True and not False"),
    ],
)
def test_other_rules_of_the_account_are_refused(options, said) -> None:
    members = [told_member([[0.0, 0.0]]), told_member([[0.0, 0.0]], name="trial 7", **options)]
    with pytest.raises(ConfigError, match=f"trial 7 has {said}"):
        EnsembleModel(members)


def test_other_tickers_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"actions of one shape, got \(2,\) and \(3,\)"):
        EnsembleModel([told_member([[0.0, 0.0]]), told_member([[0.0, 0.0, 0.0]])])


def test_one_view_is_of_one_size() -> None:
    with pytest.raises(ConfigError, match=r"observations of shape \(4,\) and another member"):
        EnsembleModel([told_member([[0.0]]), told_member([[0.0]], size=4)])


def test_recurrent_members_keep_their_own_memory_of_each_account() -> None:
    orders = EnvConfig()
    models = [
        small_model("recurrent_ppo", normalize=False, policy_kwargs={"lstm_hidden_size": size})
        for size in (4, 6)
    ]
    feedforward = small_model("ppo", normalize=False)
    members = [Member(model=model, env=orders) for model in (*models, feedforward)]
    together = EnsembleModel(members)
    rng, state, starts = np.random.default_rng(3), None, np.ones(2, dtype=bool)
    alone: list = [None, None, None]
    for step in range(6):
        seen = rng.normal(size=(2, 5)).astype(np.float32)
        action, state = together.predict(
            seen, state=state, episode_start=starts, deterministic=True
        )
        expected = []
        for number, member in enumerate(members):
            one, alone[number] = member.model.predict(
                seen, state=alone[number], episode_start=starts, deterministic=True
            )
            expected.append(one)
        mean = np.mean(expected, axis=0, dtype=np.float64).astype(np.float32)
        np.testing.assert_array_equal(action, mean)
        starts = np.array([step == 3, False])  # of which one account begins again
    assert [None if one is None else one[0].shape for one in state] == [(1, 2, 4), (1, 2, 6), None]
