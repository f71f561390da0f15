"""FinRL's `tune_sb3` as it is; writes what it drew and found to finrl.json.

python finrl_search.py TRIALS TIMESTEPS
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from finrl_peer import finrl_tuner
from windows import finrl_envs

n_trials, timesteps = int(sys.argv[1]), int(sys.argv[2])
tune_sb3 = finrl_tuner()
train_env, validation_env = finrl_envs()
# FinRL's own stop never lets a search end by itself here: no improvement for more than n_trials
never = tune_sb3.LoggingCallback(threshold=0, trial_number=n_trials, patience=n_trials)
tuner = tune_sb3.TuneSB3Optuna(
    train_env, "ppo", validation_env, never, total_timesteps=timesteps, n_trials=n_trials
)
study = tuner.run_optuna()
samples = []
for trial in study.trials:
    drawn = dict(trial.params)
    drawn["batch_size"] = min(drawn["batch_size"], drawn["n_steps"])  # as FinRL does
    samples.append(drawn)
finished = [trial for trial in study.trials if trial.value is not None]
trained = [
    {
        "seconds": (trial.datetime_complete - trial.datetime_start).total_seconds(),
        "n_steps": trial.params["n_steps"],
    }
    for trial in finished
]
found = {
    "trained": trained,
    "workers": 1,
    "n_trials": len(study.trials),
    "n_failed": len(study.trials) - len(finished),
    "timesteps": len(finished) * timesteps,
    "best_sharpe": study.best_value,
    "samples": samples,
}
Path("finrl.json").write_text(json.dumps(found), encoding="utf-8")
