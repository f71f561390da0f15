"""`PerTickerPolicy`: PPO's and A2C's policy with one small network that every ticker goes through.

An ordinary network has weights of its own for each pair of ticker and entry, and learns from each
ticker alone what all of them have in common. Here the tickers share their weights: the same
function turns what is known of a ticker into its action, so that N tickers teach it N times as
much, and the order of the tickers means nothing. Jiang, Xu and Liang (2017, "A Deep Reinforcement
Learning Framework for the Financial Portfolio Management Problem") call such networks an ensemble
of identical independent evaluators; that each also sees the mean over all tickers, and that the
value is a mean over tickers, is from Zaheer et al. (2017, "Deep Sets").
"""

from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import MlpExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import nn

PER_TICKER = "PerTickerPolicy"


def n_ticker_inputs(n_entries: int, n_tickers: int) -> int:
    """Return the number of inputs of a ticker's network, 1 + 2K.

    Parameters
    ----------
    n_entries : of the observation: one of the account, then K for each ticker
    n_tickers : N

    Raises
    ------
    ValueError
        If the entries are not one and a whole number for each ticker.
    """
    kinds, rest = divmod(n_entries - 1, n_tickers)
    if rest or kinds < 1:
        raise ValueError(
            f"{PER_TICKER} needs observations of 1 + K * N entries for N actions, one per ticker, "
            f"as the trading env gives them; got {n_entries} entries and {n_tickers} actions. Use "
            "MlpPolicy"
        )
    return 1 + 2 * kinds


def by_ticker(observations: th.Tensor, n_tickers: int) -> th.Tensor:
    """Return what the network of each ticker sees.

    Parameters
    ----------
    observations : tensor of shape (B, 1 + K*N)
        An entry of the account, then K times one entry per ticker.

    Returns
    -------
    tensor of shape (B, N, 1 + 2K)
        The entry of the account, the ticker's own K, and the means of each of them over tickers.
    """
    batch = len(observations)
    own = observations[:, 1:].reshape(batch, -1, n_tickers).transpose(1, 2)
    account = observations[:, :1, None].expand(-1, n_tickers, 1)
    return th.cat([account, own, own.mean(1, keepdim=True).expand(-1, n_tickers, -1)], 2)


class PerTickerExtractor(MlpExtractor):
    """SB3's networks, for the inputs of one ticker; both run once for each ticker."""

    def __init__(self, n_entries: int, n_tickers: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(n_ticker_inputs(n_entries, n_tickers), *args, **kwargs)
        self.n_tickers = n_tickers

    def forward_actor(self, features: th.Tensor) -> th.Tensor:
        """Return the latent of each ticker, of shape (B, N, H)."""
        latent: th.Tensor = self.policy_net(by_ticker(features, self.n_tickers))
        return latent

    def forward_critic(self, features: th.Tensor) -> th.Tensor:
        """Return the mean latent over tickers, of shape (B, H)."""
        return mean_over_tickers(self.value_net(by_ticker(features, self.n_tickers)))


def mean_over_tickers(latent: th.Tensor) -> th.Tensor:
    """Return (B, H) of (B, N, H)."""
    return latent.mean(1)


def one_action_each(outputs: th.Tensor) -> th.Tensor:
    """Return actions (B, N) of the outputs (B, N, 1)."""
    return outputs.squeeze(-1)


class PerTickerPolicy(ActorCriticPolicy):
    """SB3's `ActorCriticPolicy` in which all tickers share one network; arguments are SB3's.

    Raises
    ------
    ValueError
        If observations are not one entry and K for each ticker, or `use_sde` is set.
    """

    def _build_mlp_extractor(self) -> None:
        if not isinstance(self.action_dist, DiagGaussianDistribution):
            raise ValueError(
                f"{PER_TICKER} has one normal distribution for each action; leave use_sde false, "
                f"got a {type(self.action_dist).__name__}"
            )
        assert isinstance(self.action_space, spaces.Box)
        self.mlp_extractor = PerTickerExtractor(
            self.features_dim,
            self.action_space.shape[0],
            net_arch=self.net_arch,
            activation_fn=self.activation_fn,
            device=self.device,
        )

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        # SB3 has made one output per action: here the output of each ticker is its action
        self.action_net = nn.Linear(self.mlp_extractor.latent_dim_pi, 1, device=self.device)
        if self.ortho_init:
            nn.init.orthogonal_(self.action_net.weight, gain=0.01)
            nn.init.zeros_(self.action_net.bias)
        self.optimizer = self.optimizer_class(
            self.parameters(),
            lr=lr_schedule(1),  # type: ignore[call-arg]  # of every optimizer but the base class
            **self.optimizer_kwargs,
        )

    def _get_action_dist_from_latent(self, latent_pi: th.Tensor) -> Distribution:
        mean = one_action_each(self.action_net(latent_pi))
        assert isinstance(self.action_dist, DiagGaussianDistribution)
        return self.action_dist.proba_distribution(mean, self.log_std)
