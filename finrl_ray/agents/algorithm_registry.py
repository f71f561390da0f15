"""The algorithms: one entry each with everything that differs between them.

A new algorithm is one entry of `ALGORITHMS` here and its name in `Algorithm` of the config, which
type checkers read. Classes are named by their import paths, so that reading an entry loads neither
SB3 nor torch, which take seconds.
"""

from collections.abc import Mapping
from dataclasses import replace

from finrl_ray.agents.algorithm_entry import AlgorithmEntry, read_only
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.load import load_object

_ON_POLICY_SPACE = read_only(
    one_minus_gamma={"loguniform": [1e-4, 0.03]},
    one_minus_gae_lambda={"loguniform": [1e-4, 0.1]},
    ent_coef={"loguniform": [1e-8, 0.1]},
    max_grad_norm={"uniform": [0.3, 2.0]},
    net_arch={"choice": ["tiny", "small", "medium"]},
    activation_fn={"choice": ["tanh", "relu"]},
)
_OFF_POLICY_SPACE = read_only(
    learning_rate={"loguniform": [1e-5, 2e-3]},
    batch_size={"choice": [16, 32, 64, 128, 256, 512]},
    one_minus_gamma={"loguniform": [1e-4, 0.03]},
    tau={"loguniform": [1e-3, 0.08]},
    train_freq={"randint": [1, 11]},
    # as many updates as steps were taken: with SB3's default, 1, the choice of train_freq would be
    # one of the updates per step, which decides most of the time and of what is learned
    gradient_steps=-1,
    net_arch={"choice": ["small", "medium", "big"]},
)
_NOISE_SPACE = read_only(
    action_noise={
        "choice": [
            None,
            "normal",
            "normal_0.3",
            "ornstein_uhlenbeck",
            "ornstein_uhlenbeck_0.3",
        ]
    }
)
# also noise_std: 0.1, which is that of every noise given by name
_ZOO_NOISE = read_only(train_freq=1, gradient_steps=1, action_noise="normal")
_SAC_DEFAULTS = read_only(
    batch_size=64,
    buffer_size=100_000,
    learning_rate=1e-4,
    learning_starts=100,
    ent_coef="auto_0.1",
)
_OFF_POLICY_SMALL = read_only(
    buffer_size=10_000, batch_size=32, learning_starts=100, train_freq=(4, "step")
)
_PER_TICKER = ("MlpPolicy", "PerTickerPolicy")
_ALL_ACTIONS = ("continuous", "discrete")
# the rewards of a period are far smaller than those for which `auto` alone was tuned
_ENTROPY_SPACE = read_only(ent_coef={"choice": ["auto", "auto_0.1", 0.01, 0.1]})
_PPO_SPACE = read_only(
    learning_rate={"loguniform": [1e-5, 2e-3]},
    n_steps={"choice": [32, 64, 128, 256, 512, 1024, 2048]},
    batch_size={"choice": [32, 64, 128, 256, 512, 1024]},
    n_epochs={"choice": [1, 5, 10, 20]},
    clip_range={"choice": [0.1, 0.2, 0.3, 0.4]},
    **_ON_POLICY_SPACE,
)
_STABLE_RATE = 3e-5
_ON_POLICY_STABLE = read_only(
    learning_rate=_STABLE_RATE, ent_coef=0.001, max_grad_norm=0.5, vf_coef=0.25
)
# SB3 clips no gradients off-policy: slower targets and larger batches damp the critics instead
_OFF_POLICY_STABLE = read_only(learning_rate=_STABLE_RATE, tau=0.001, batch_size=256)

ALGORITHMS: Mapping[str, AlgorithmEntry] = read_only(
    a2c=AlgorithmEntry(
        model_path="stable_baselines3:A2C",
        learners=read_only(
            fused="finrl_ray.learners.on_policy.fused:FusedA2C",
            exact="finrl_ray.learners.on_policy.exact:ExactA2C",
        ),
        on_policy=True,
        policies=_PER_TICKER,
        actions=_ALL_ACTIONS,
        defaults=read_only(n_steps=5, ent_coef=0.01, learning_rate=7e-4),
        space=read_only(
            learning_rate={"loguniform": [1e-5, 2e-3]},
            n_steps={"choice": [5, 16, 32, 64, 128, 256, 512]},
            **_ON_POLICY_SPACE,
        ),
        net_arch=(64, 64),
        activation_fn="tanh",
        normalize_advantage=False,
        decaying_rate=True,
        # a rollout is 5 steps by default: there is nothing to save
        small=read_only(n_steps=5),
        stable=_ON_POLICY_STABLE,
    ),
    ppo=AlgorithmEntry(
        model_path="stable_baselines3:PPO",
        learners=read_only(
            fused="finrl_ray.learners.on_policy.fused:FusedPPO",
            exact="finrl_ray.learners.on_policy.exact:ExactPPO",
        ),
        on_policy=True,
        policies=_PER_TICKER,
        actions=_ALL_ACTIONS,
        defaults=read_only(n_steps=2048, ent_coef=0.01, learning_rate=2.5e-4, batch_size=64),
        space=_PPO_SPACE,
        net_arch=(64, 64),
        activation_fn="tanh",
        minibatches=True,
        least_batch=2,
        normalize_advantage=True,
        decaying_rate=True,
        small=read_only(n_steps=512, batch_size=32),
        stable=read_only(**_ON_POLICY_STABLE, clip_range=0.1),
    ),
    ddpg=AlgorithmEntry(
        model_path="stable_baselines3:DDPG",
        learners=read_only(
            fused="finrl_ray.learners.off_policy.fused:FusedDDPG",
            exact="finrl_ray.learners.off_policy.exact:ExactDDPG",
        ),
        on_policy=False,
        defaults=read_only(batch_size=128, buffer_size=50_000, learning_rate=1e-3),
        zoo_defaults=_ZOO_NOISE,
        space=read_only(**_OFF_POLICY_SPACE, **_NOISE_SPACE),
        net_arch=(400, 300),
        activation_fn="relu",
        target_policy=True,
        small=_OFF_POLICY_SMALL,
        stable=_OFF_POLICY_STABLE,
    ),
    td3=AlgorithmEntry(
        model_path="stable_baselines3:TD3",
        learners=read_only(
            fused="finrl_ray.learners.off_policy.fused:FusedTD3",
            exact="finrl_ray.learners.off_policy.exact:ExactTD3",
        ),
        on_policy=False,
        defaults=read_only(batch_size=100, buffer_size=1_000_000, learning_rate=1e-3),
        zoo_defaults=_ZOO_NOISE,
        space=read_only(**_OFF_POLICY_SPACE, **_NOISE_SPACE, policy_delay={"choice": [1, 2, 4]}),
        net_arch=(400, 300),
        activation_fn="relu",
        critics=2,
        target_policy=True,
        small=_OFF_POLICY_SMALL,
        stable=read_only(**_OFF_POLICY_STABLE, policy_delay=4),
    ),
    sac=AlgorithmEntry(
        model_path="stable_baselines3:SAC",
        learners=read_only(
            fused="finrl_ray.learners.off_policy.fused:FusedSAC",
            exact="finrl_ray.learners.off_policy.exact:ExactSAC",
        ),
        on_policy=False,
        defaults=_SAC_DEFAULTS,
        space=read_only(**_OFF_POLICY_SPACE, **_ENTROPY_SPACE),
        net_arch=(256, 256),
        activation_fn="relu",
        learns_entropy=True,
        critics=2,
        policy_outputs=2,
        small=_OFF_POLICY_SMALL,
        stable=read_only(**_OFF_POLICY_STABLE, ent_coef="auto_0.01"),
    ),
    tqc=AlgorithmEntry(
        model_path="sb3_contrib:TQC",
        extra="contrib",
        on_policy=False,
        # SAC's of FinRL, of which it is a descendant
        defaults=_SAC_DEFAULTS,
        space=read_only(
            **_OFF_POLICY_SPACE,
            **_ENTROPY_SPACE,
            n_quantiles={"randint": [5, 51]},
            top_quantiles_to_drop_per_net={"randint": [0, 6]},
        ),
        policy_keywords=read_only(n_quantiles=25, n_critics=2),
        net_arch=(256, 256),
        activation_fn="relu",
        learns_entropy=True,
        critics=2,
        policy_outputs=2,
        small=_OFF_POLICY_SMALL,
        stable=read_only(
            **_OFF_POLICY_STABLE, ent_coef="auto_0.01", top_quantiles_to_drop_per_net=5
        ),
    ),
    crossq=AlgorithmEntry(
        model_path="sb3_contrib:CrossQ",
        extra="contrib",
        on_policy=False,
        defaults=_SAC_DEFAULTS,
        space=read_only(
            **{name: entry for name, entry in _OFF_POLICY_SPACE.items() if name != "tau"},
            **_ENTROPY_SPACE,
            policy_delay={"choice": [1, 2, 3, 4]},
        ),
        policy_keywords=read_only(n_critics=2),
        net_arch=(256, 256),
        critic_arch=(1024, 1024),
        activation_fn="relu",
        least_batch=2,
        learns_entropy=True,
        critics=2,
        policy_outputs=2,
        target_critics=False,
        batch_norm=True,
        small=_OFF_POLICY_SMALL,
        stable=read_only(
            learning_rate=_STABLE_RATE, batch_size=256, ent_coef="auto_0.01", policy_delay=4
        ),
    ),
    recurrent_ppo=AlgorithmEntry(
        model_path="sb3_contrib:RecurrentPPO",
        extra="contrib",
        on_policy=True,
        policies=("MlpLstmPolicy",),
        actions=_ALL_ACTIONS,
        # PPO's of FinRL, with the shorter rollouts and batches of sb3-contrib
        defaults=read_only(n_steps=128, ent_coef=0.01, learning_rate=2.5e-4, batch_size=128),
        zoo_defaults=read_only(n_steps=128, batch_size=128),
        space=read_only(
            **_PPO_SPACE,
            lstm_hidden_size={"choice": [16, 32, 64, 128, 256]},
            enable_critic_lstm={"choice": [True, False]},
        ),
        policy_keywords=read_only(
            lstm_hidden_size=256, n_lstm_layers=1, enable_critic_lstm=True, shared_lstm=False
        ),
        net_arch=(64, 64),
        activation_fn="tanh",
        minibatches=True,
        least_batch=2,
        normalize_advantage=True,
        decaying_rate=True,
        small=read_only(n_steps=64, batch_size=32),
        stable=read_only(**_ON_POLICY_STABLE, clip_range=0.1),
    ),
    trpo=AlgorithmEntry(
        model_path="sb3_contrib:TRPO",
        extra="contrib",
        on_policy=True,
        policies=_PER_TICKER,
        actions=_ALL_ACTIONS,
        # PPO's rollouts of FinRL; the learning rate is that of the critic alone
        defaults=read_only(n_steps=2048, learning_rate=1e-3, batch_size=128),
        zoo_defaults=read_only(n_steps=2048, batch_size=128),
        space=read_only(
            learning_rate={"loguniform": [1e-5, 2e-3]},
            n_steps={"choice": [32, 64, 128, 256, 512, 1024, 2048]},
            batch_size={"choice": [32, 64, 128, 256, 512, 1024]},
            one_minus_gamma={"loguniform": [1e-4, 0.03]},
            one_minus_gae_lambda={"loguniform": [1e-4, 0.1]},
            n_critic_updates={"randint": [5, 31]},
            cg_max_steps={"randint": [5, 31]},
            target_kl={"loguniform": [0.001, 0.1]},
            net_arch={"choice": ["tiny", "small", "medium"]},
            activation_fn={"choice": ["tanh", "relu"]},
        ),
        required=("target_kl",),
        net_arch=(64, 64),
        activation_fn="tanh",
        minibatches=True,
        normalize_advantage=True,
        small=read_only(n_steps=512, batch_size=32),
        stable=read_only(learning_rate=_STABLE_RATE, target_kl=0.001, cg_damping=0.2),
    ),
    dqn=AlgorithmEntry(
        model_path="stable_baselines3:DQN",
        on_policy=False,
        actions=("discrete",),
        # SB3's 10,000 steps between updates of the target are half of a training of 20,000
        defaults=read_only(
            batch_size=64, buffer_size=50_000, learning_rate=1e-4, target_update_interval=1000
        ),
        space=read_only(
            learning_rate={"loguniform": [1e-5, 2e-3]},
            batch_size={"choice": [16, 32, 64, 128, 256, 512]},
            one_minus_gamma={"loguniform": [1e-4, 0.03]},
            train_freq={"randint": [1, 11]},
            gradient_steps={"choice": [-1, 1]},
            target_update_interval={"choice": [1, 10, 100, 1000, 10_000]},
            exploration_fraction={"uniform": [0.0, 0.5]},
            exploration_final_eps={"uniform": [0.0, 0.2]},
            net_arch={"choice": ["small", "medium", "big"]},
        ),
        net_arch=(64, 64),
        activation_fn="relu",
        # the one network is critic and policy at once
        policy_outputs=0,
        small=_OFF_POLICY_SMALL,
        stable=read_only(
            learning_rate=_STABLE_RATE, batch_size=256, target_update_interval=2000, max_grad_norm=1
        ),
    ),
)
"""The algorithms by the names that the config and `DRLAgent.get_model` know."""


_bases: dict[str, str] = {}
"""What classes of the user's own are derived from: names of `ALGORITHMS`, by reference."""


def entry_of(algorithm: str) -> AlgorithmEntry:
    """Return the entry of an algorithm; of the user's own, that of its nearest relative here.

    Own code is imported only where `remember_bases` has not been told what it is derived from.

    Raises
    ------
    ConfigError
        If there is no such algorithm, or it is not derived from one of `ALGORITHMS`.
    """
    if algorithm in ALGORITHMS:
        return ALGORITHMS[algorithm]
    base = ALGORITHMS[base_name(algorithm)]
    return replace(base, reference=algorithm, extra="", learners=read_only())


def base_name(reference: str) -> str:
    """Return what `base_of` does, without importing a class of which it has been told."""
    return _bases.get(reference) or base_of(reference)


def base_of(reference: str) -> str:
    """Return the name of the nearest algorithm that a class of the user's own is derived from.

    Raises
    ------
    ConfigError
        Naming what must hold, if it cannot be imported or is derived from none.
    """
    found = load_object(reference, "algorithm")
    for kind in getattr(found, "__mro__", ()):
        for name, entry in ALGORITHMS.items():
            package = entry.model_path.partition(":")[0].partition(".")[0]
            if kind.__name__ == entry.class_name and kind.__module__.startswith(f"{package}."):
                return name
    raise ConfigError(
        f"agent.algorithm {reference} must be a class derived from one of SB3's or sb3-contrib's "
        f"({', '.join(entry.class_name for entry in ALGORITHMS.values())}), got {found!r:.200}; "
        "derive it from the nearest of these"
    )


def remember_bases(bases: Mapping[str, str]) -> None:
    """Keep what classes of the user's own are derived from, by their references."""
    _bases.update({own: base for own, base in bases.items() if base in ALGORITHMS})


def installed_algorithms() -> tuple[str, ...]:
    """Return the names of the algorithms whose packages are there."""
    return tuple(name for name, entry in ALGORITHMS.items() if entry.is_installed)
