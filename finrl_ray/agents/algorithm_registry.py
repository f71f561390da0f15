"""The algorithms: one entry each with everything that differs between them.

A new algorithm is one entry of `ALGORITHMS` here and its name in `Algorithm` of the config, which
type checkers read. Classes are named by their import paths, so that reading an entry loads neither
SB3 nor torch, which take seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


def _read_only(**entries: Any) -> Mapping[str, Any]:
    return MappingProxyType(entries)


@dataclass(frozen=True, kw_only=True)
class AlgorithmEntry:
    """One algorithm: its classes, its default keywords and search space, and what it is built of.

    Parameters
    ----------
    model_path : the SB3 class as `module:name`
    learners : the subclasses that do the same training faster, as `module:name` by the learner's
        name ("fused", "exact"); a learner that is not named is the SB3 class itself
    on_policy : trained on rollouts (`n_steps`), else on a replay buffer (`buffer_size`)
    defaults : FinRL's keywords; what is not named is SB3's own default
    zoo_defaults : rl-zoo3's keywords, from the section `default` of its hyperparams/ALGORITHM.yml
        (2.9.2); what is not named is SB3's own default
    space : default search space, as `search.space` of the config
    net_arch, activation_fn : what SB3 builds the policy of when nothing is given
    minibatches : a rollout is trained on in batches of `batch_size`
    normalize_advantage : SB3's default of the keyword; None: the algorithm has no such keyword
    learns_entropy : `ent_coef` may be `auto`, or `auto_` and a number to start from
    decaying_rate : `setup_callbacks` lowers the learning rate while it trains
    critics : networks that judge actions
    policy_outputs : outputs of the policy per entry of an action (2: a mean and a deviation)
    target_policy : it keeps a slow copy of the policy, beside those of the critics
    small : keywords for little memory
    stable : keywords for training that swings or diverges
    """

    model_path: str
    learners: Mapping[str, str] = field(default_factory=_read_only)
    on_policy: bool
    defaults: Mapping[str, Any] = field(default_factory=_read_only)
    zoo_defaults: Mapping[str, Any] = field(default_factory=_read_only)
    space: Mapping[str, Any] = field(default_factory=_read_only)
    net_arch: tuple[int, ...]
    activation_fn: str
    minibatches: bool = False
    normalize_advantage: bool | None = None
    learns_entropy: bool = False
    decaying_rate: bool = False
    critics: int = 1
    policy_outputs: int = 1
    target_policy: bool = False
    small: Mapping[str, Any] = field(default_factory=_read_only)
    stable: Mapping[str, Any] = field(default_factory=_read_only)

    @property
    def model_class(self) -> "type[BaseAlgorithm]":
        """The SB3 class."""
        return _load_class(self.model_path)

    def learner_class(self, learner: str) -> "type[BaseAlgorithm]":
        """Return the class that trains the algorithm with a learner such as `"fused"`."""
        return _load_class(self.learners.get(learner, self.model_path))


@cache
def _load_class(path: str) -> "type[BaseAlgorithm]":
    module, _, name = path.partition(":")
    loaded: type[BaseAlgorithm] = getattr(import_module(module), name)
    return loaded


_ON_POLICY_SPACE = _read_only(
    one_minus_gamma={"loguniform": [1e-4, 0.03]},
    one_minus_gae_lambda={"loguniform": [1e-4, 0.1]},
    ent_coef={"loguniform": [1e-8, 0.1]},
    max_grad_norm={"uniform": [0.3, 2.0]},
    net_arch={"choice": ["tiny", "small", "medium"]},
    activation_fn={"choice": ["tanh", "relu"]},
)
_OFF_POLICY_SPACE = _read_only(
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
_NOISE_SPACE = _read_only(
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
_ZOO_NOISE = _read_only(train_freq=1, gradient_steps=1, action_noise="normal")
_OFF_POLICY_SMALL = _read_only(
    buffer_size=10_000, batch_size=32, learning_starts=100, train_freq=(4, "step")
)
_STABLE_RATE = 3e-5
_ON_POLICY_STABLE = _read_only(
    learning_rate=_STABLE_RATE, ent_coef=0.001, max_grad_norm=0.5, vf_coef=0.25
)
# SB3 clips no gradients off-policy: slower targets and larger batches damp the critics instead
_OFF_POLICY_STABLE = _read_only(learning_rate=_STABLE_RATE, tau=0.001, batch_size=256)

ALGORITHMS: Mapping[str, AlgorithmEntry] = _read_only(
    a2c=AlgorithmEntry(
        model_path="stable_baselines3:A2C",
        learners=_read_only(
            fused="finrl_ray.learners.on_policy.fused:FusedA2C",
            exact="finrl_ray.learners.on_policy.exact:ExactA2C",
        ),
        on_policy=True,
        defaults=_read_only(n_steps=5, ent_coef=0.01, learning_rate=7e-4),
        space=_read_only(
            learning_rate={"loguniform": [1e-5, 2e-3]},
            n_steps={"choice": [5, 16, 32, 64, 128, 256, 512]},
            **_ON_POLICY_SPACE,
        ),
        net_arch=(64, 64),
        activation_fn="tanh",
        normalize_advantage=False,
        decaying_rate=True,
        # a rollout is 5 steps by default: there is nothing to save
        small=_read_only(n_steps=5),
        stable=_ON_POLICY_STABLE,
    ),
    ppo=AlgorithmEntry(
        model_path="stable_baselines3:PPO",
        learners=_read_only(
            fused="finrl_ray.learners.on_policy.fused:FusedPPO",
            exact="finrl_ray.learners.on_policy.exact:ExactPPO",
        ),
        on_policy=True,
        defaults=_read_only(n_steps=2048, ent_coef=0.01, learning_rate=2.5e-4, batch_size=64),
        space=_read_only(
            learning_rate={"loguniform": [1e-5, 2e-3]},
            n_steps={"choice": [32, 64, 128, 256, 512, 1024, 2048]},
            batch_size={"choice": [32, 64, 128, 256, 512, 1024]},
            n_epochs={"choice": [1, 5, 10, 20]},
            clip_range={"choice": [0.1, 0.2, 0.3, 0.4]},
            **_ON_POLICY_SPACE,
        ),
        net_arch=(64, 64),
        activation_fn="tanh",
        minibatches=True,
        normalize_advantage=True,
        decaying_rate=True,
        small=_read_only(n_steps=512, batch_size=32),
        stable=_read_only(**_ON_POLICY_STABLE, clip_range=0.1),
    ),
    ddpg=AlgorithmEntry(
        model_path="stable_baselines3:DDPG",
        learners=_read_only(
            fused="finrl_ray.learners.off_policy.fused:FusedDDPG",
            exact="finrl_ray.learners.off_policy.exact:ExactDDPG",
        ),
        on_policy=False,
        defaults=_read_only(batch_size=128, buffer_size=50_000, learning_rate=1e-3),
        zoo_defaults=_ZOO_NOISE,
        space=_read_only(**_OFF_POLICY_SPACE, **_NOISE_SPACE),
        net_arch=(400, 300),
        activation_fn="relu",
        target_policy=True,
        small=_OFF_POLICY_SMALL,
        stable=_OFF_POLICY_STABLE,
    ),
    td3=AlgorithmEntry(
        model_path="stable_baselines3:TD3",
        learners=_read_only(
            fused="finrl_ray.learners.off_policy.fused:FusedTD3",
            exact="finrl_ray.learners.off_policy.exact:ExactTD3",
        ),
        on_policy=False,
        defaults=_read_only(batch_size=100, buffer_size=1_000_000, learning_rate=1e-3),
        zoo_defaults=_ZOO_NOISE,
        space=_read_only(**_OFF_POLICY_SPACE, **_NOISE_SPACE, policy_delay={"choice": [1, 2, 4]}),
        net_arch=(400, 300),
        activation_fn="relu",
        critics=2,
        target_policy=True,
        small=_OFF_POLICY_SMALL,
        stable=_read_only(**_OFF_POLICY_STABLE, policy_delay=4),
    ),
    sac=AlgorithmEntry(
        model_path="stable_baselines3:SAC",
        learners=_read_only(
            fused="finrl_ray.learners.off_policy.fused:FusedSAC",
            exact="finrl_ray.learners.off_policy.exact:ExactSAC",
        ),
        on_policy=False,
        defaults=_read_only(
            batch_size=64,
            buffer_size=100_000,
            learning_rate=1e-4,
            learning_starts=100,
            ent_coef="auto_0.1",
        ),
        space=_read_only(**_OFF_POLICY_SPACE, ent_coef={"choice": ["auto", "auto_0.1", 0.01, 0.1]}),
        net_arch=(256, 256),
        activation_fn="relu",
        learns_entropy=True,
        critics=2,
        policy_outputs=2,
        small=_OFF_POLICY_SMALL,
        stable=_read_only(**_OFF_POLICY_STABLE, ent_coef="auto_0.01"),
    ),
)
"""The algorithms by the names that the config and `DRLAgent.get_model` know."""
