"""What a recurrent model remembered is what it has acted on."""

import numpy as np
import pytest
import torch as th
from small_models import small_model

from finrl_ray.diagnostics.learning.episodes import model_policy, run_episodes
from finrl_ray.diagnostics.learning.memory import Memory, memories
from finrl_ray.diagnostics.learning.policy_measures import exploration_measures


@pytest.mark.parametrize("lstm", [{}, {"shared_lstm": True, "enable_critic_lstm": False}])
def test_a_recurrent_models_memory_is_followed_across_the_ends_of_episodes(lstm) -> None:
    model = small_model(
        "recurrent_ppo", 2, normalize=False, policy_kwargs={"lstm_hidden_size": 4, **lstm}
    )
    with th.no_grad():  # a memory that matters
        model.policy.lstm_actor.weight_hh_l0.mul_(5.0)
    # 30 days an episode: three in each account, of which the later ones begin with no memory
    episodes = run_episodes(model.env, model_policy(model), 6, 0)
    found = memories(model, episodes)
    assert len(found) == len(episodes.actions) + 1 == 88
    for memory, seen, action in zip(found, episodes.observations, episodes.actions, strict=False):
        mode = memory.distribution(model, seen).mode().detach().numpy()
        # the last bits of torch's products depend on addresses on some processors
        np.testing.assert_allclose(np.clip(mode, -1, 1), action, rtol=1e-5, atol=1e-8)
    assert [step for step, one in enumerate(found) if one.starts.all()] == [0, 29, 58, 87]
    # without it the same observations mean another action
    forgotten = Memory(found[0].states, th.ones(2))
    last = forgotten.distribution(model, episodes.observations[80]).mode().detach().numpy()
    assert not np.allclose(np.clip(last, -1, 1), episodes.actions[80], atol=1e-4)
    measures = exploration_measures(model, episodes)
    # a normal distribution of deviation 1: its entropy is half the logarithm of 2 pi e
    assert measures["entropy"] == pytest.approx(0.5 * np.log(2 * np.pi * np.e))
    assert measures["action_std"] == pytest.approx(1.0)


def test_other_models_remember_nothing() -> None:
    model = small_model("ppo", normalize=False)
    episodes = run_episodes(model.env, model_policy(model), 1, 0)
    assert memories(model, episodes) == [Memory()] * 30
