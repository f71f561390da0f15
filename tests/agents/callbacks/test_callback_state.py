"""What callbacks have counted, kept over a resume."""

from small_models import small_env
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    EvalCallback,
    EveryNTimesteps,
    StopTrainingOnNoModelImprovement,
)

from finrl_ray.agents.callbacks.callback_state import (
    capture_callback_state,
    find_callbacks,
    restore_callback_state,
)


class Own(BaseCallback):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def _on_step(self) -> bool:
        return True

    def get_state(self) -> dict:
        return {"seen": list(self.seen)}

    def set_state(self, state: dict) -> None:
        self.seen = list(state["seen"])


def build() -> CallbackList:
    return CallbackList([EveryNTimesteps(10, StopTrainingOnNoModelImprovement(3)), Own()])


def test_nested_callbacks_keep_their_counts() -> None:
    callbacks = build()
    every, own = callbacks.callbacks
    every.last_time_trigger, every.n_calls = 40, 41
    every.callback.no_improvement_evals, every.callback.last_best_mean_reward = 2, 0.5
    own.seen.append(7)
    state = capture_callback_state(callbacks)
    own.seen.append(8)

    fresh = build()
    restore_callback_state(fresh, state)
    every, own = fresh.callbacks
    assert (every.last_time_trigger, every.n_calls) == (40, 41)
    assert every.callback.no_improvement_evals == 2
    assert every.callback.last_best_mean_reward == 0.5
    assert own.seen == [7]


def test_callbacks_are_found_at_any_depth() -> None:
    inner, outer = Own(), Own()
    stop = StopTrainingOnNoModelImprovement(3)
    listed = CallbackList([EveryNTimesteps(10, CallbackList([inner])), outer, stop])
    assert list(find_callbacks(listed, Own)) == [inner, outer]
    assert list(find_callbacks(inner, Own)) == [inner]
    evaluation = EvalCallback(small_env(), callback_on_new_best=inner, callback_after_eval=outer)
    assert list(find_callbacks(evaluation, Own)) == [inner, outer]
