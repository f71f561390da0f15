"""Measures of a policy put into plain language."""

from collections.abc import Mapping

MUCH_SATURATION = 0.5
FEW_TRADES = 0.95
LITTLE_CHANGE = 0.005
LITTLE_FORESIGHT = 0.05
STD_RANGE = (0.05, 2.0)
ALIKE = 0.02
"""Rewards that differ by less than this share do not tell two policies apart."""
_ROUNDING = 1e-9


def comparison_sentences(measures: Mapping[str, float], *, trained: bool) -> list[str]:
    """Return how the model's reward per episode compares with those of the other policies.

    Parameters
    ----------
    measures : with `model`, and `hold`, `random`, `untrained` where they are known
    trained : whether the model has taken a training step
    """
    model = measures["model"]
    if not trained:
        return [
            "the model has not been trained yet (0 timesteps), so its reward of "
            f"{model:.4g} says nothing about learning ({_listed(measures)})"
        ]
    sentences = []
    if "hold" in measures and _below(model, measures["hold"]):
        sentences.append(
            f"the policy does worse than doing nothing: {model:.4g} per episode against "
            f"{measures['hold']:.4g} for holding what the account starts with"
        )
    if _below(model, measures["random"]) or model == measures["random"]:
        sentences.append(
            f"the policy does no better than random actions: {model:.4g} per episode against "
            f"{measures['random']:.4g}"
        )
    if "buying" in measures and _below(model, measures["buying"], ALIKE):
        sentences.append(
            f"the policy earns no more than buying all that it may and holding: {model:.4g} per "
            f"episode against {measures['buying']:.4g}"
        )
    if "untrained" in measures:
        sentences += _untrained_sentences(model, measures)
    if not sentences:
        sentences.append(
            f"the policy has learned something: {model:.4g} per episode ({_listed(measures)})"
        )
    return sentences


def _untrained_sentences(model: float, measures: Mapping[str, float]) -> list[str]:
    mean, best = measures["untrained"], measures["untrained_best"]
    if model <= mean:
        return [
            f"training has not helped: {model:.4g} per episode against {mean:.4g} for untrained "
            "copies; train longer, or change learning_rate, reward_scaling or the observations"
        ]
    if model <= best:
        return [
            f"training may not have helped: {model:.4g} per episode, when the best untrained copy "
            f"gets {best:.4g} by luck"
        ]
    return []


def _below(value: float, other: float, tolerance: float = -_ROUNDING) -> bool:
    return value < other + tolerance * max(abs(value), abs(other))


def _listed(measures: Mapping[str, float]) -> str:
    words = {
        "hold": "holding",
        "buying": "buying all",
        "random": "random actions",
        "untrained": "untrained copies",
    }
    return ", ".join(
        f"{text} {measures[key]:.4g}" for key, text in words.items() if key in measures
    )


def policy_sentences(measures: Mapping[str, float], *, weights: bool = False) -> list[str]:
    """Return what is odd about the actions and the critic; empty if nothing is.

    Parameters
    ----------
    measures : see `LearningDiagnosis`
    weights : whether actions are target weights and not orders
    """
    sentences = _weight_sentences(measures) if weights else _order_sentences(measures)
    if measures.get("action_change", 1.0) < LITTLE_CHANGE:
        sentences.append(
            "the policy gives nearly the same action whatever it sees (its actions vary by "
            f"{measures['action_change']:.2%} of their range): observations may be dominated by "
            "one large entry; normalise them"
        )
    sentences += _critic_sentences(measures)
    spread = measures.get("action_std")
    if spread is not None and not STD_RANGE[0] <= spread <= STD_RANGE[1]:
        word = "hardly explores" if spread < STD_RANGE[0] else "explores at random"
        remedy = "raise" if spread < STD_RANGE[0] else "lower"
        sentences.append(f"the policy {word}: its deviation is {spread:.2g}; {remedy} ent_coef")
    return sentences


def _order_sentences(measures: Mapping[str, float]) -> list[str]:
    sentences = []
    saturation = measures.get("saturation", 0.0)
    if saturation >= MUCH_SATURATION:
        sentences.append(
            f"{saturation:.0%} of actions are saturated: the policy only buys or sells as much as "
            "it may; normalise observations, lower learning_rate or raise hmax"
        )
    if measures.get("empty_trades", 0.0) >= FEW_TRADES:
        sentences.append(
            f"{measures['empty_trades']:.0%} of orders trade nothing: the policy hardly trades, "
            "because its actions are below one share, or it has no cash or no shares left"
        )
    return sentences


def _weight_sentences(measures: Mapping[str, float]) -> list[str]:
    sentences = []
    saturation = measures.get("saturation", 0.0)
    if saturation >= MUCH_SATURATION:
        sentences.append(
            f"{saturation:.0%} of actions are saturated: the policy gives a ticker nothing or as "
            "much as it can, and no weight between; normalise observations or lower learning_rate"
        )
    if measures.get("empty_trades", 0.0) >= FEW_TRADES:
        sentences.append(
            f"{measures['empty_trades']:.0%} of target weights trade nothing: the policy hardly "
            "trades, because its weights stay within no_trade_band of what is held, or are 0"
        )
    return sentences


def _critic_sentences(measures: Mapping[str, float]) -> list[str]:
    variance = measures.get("explained_variance")
    if variance is None or variance >= LITTLE_FORESIGHT:
        return []
    return [
        f"the critic foresees {max(variance, 0.0):.0%} of what the returns vary by (explained "
        f"variance {variance:.2g}): its advantages are mostly noise; train longer, normalise "
        "rewards or raise vf_coef"
    ]
