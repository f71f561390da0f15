"""The order in which files of tests start, for runs in several processes side by side.

One worker of pytest-xdist runs all tests of a file, because they share fixtures such as a finished
search. A long file that starts last would run alone at the end. Files that use the same Ray of
`local_ray` follow each other, because a worker keeps it from one to the next.
"""

from pathlib import Path

from repository import TESTS

ON_ONE_CPU = (
    "integration/test_resume.py",
    "docs/test_commands.py",
    "integration/test_searched_formulation.py",
    "integration/test_object_storage.py",
    "integration/test_sealed_test_window.py",
    "integration/test_own_code.py",
    "search/results/test_verdict.py",
    "workflows/test_confirm.py",
    "workflows/deployment/test_rollforward.py",
    "compat/test_tutorial.py",
    "compat/test_tuning.py",
    "report/test_winner_account.py",
    "docs/test_bring_your_own.py",
    "compat/test_rllib_style.py",
    "search/loggers/test_tensorboard.py",
)
ON_TWO_CPUS = (
    "search/run/test_runner.py",
    "search/reproduce/test_reproduce.py",
    "integration/test_ensemble_searches.py",
    "integration/test_plans_on_ray.py",
    "integration/test_path_searches.py",
    "integration/test_env_kinds.py",
    "integration/test_from_search_to_orders.py",
    "integration/test_more_trials.py",
    "integration/test_own_data.py",
    "integration/test_own_measures.py",
    "integration/test_own_envs.py",
)
LONGEST = (
    "jobs/test_client.py",
    "docs/test_recipes.py",
    "learners/test_other_processors.py",
    "integration/test_joining.py",
    "workflows/ensemble/test_agent.py",
    "search/loggers/test_trackers.py",
    "integration/test_read_only.py",
    "docs/test_notebook.py",
    "cluster/test_own_ray.py",
    "support/test_public_names.py",
    "helpers/test_processes.py",
    "agents/callbacks/test_setup.py",
    "agents/test_algorithm_registry.py",
    "agents/replay/test_buffer.py",
    "integration/test_google_storage.py",
    "integration/test_cut_searches.py",
    "docs/test_training_guide.py",
    "docs/test_original_guide.py",
    "agents/callbacks/test_performance_monitor.py",
    "agents/state/test_training_state.py",
    "learners/test_exact_in_a_market.py",
    "docs/test_readme.py",
    "env/test_known_answer.py",
    "diagnostics/doctor/test_doctor.py",
    "env/kernel/test_rewards.py",
    "learners/on_policy/test_exact.py",
    "learners/off_policy/test_exact.py",
    "workflows/pipeline/test_complete.py",
    "training/test_folds.py",
)
"""The longest of the others first, below tests/."""
ORDER = (*ON_ONE_CPU, *ON_TWO_CPUS, *LONGEST)
"""It is only an order: a file that is missing starts later."""


def rank(path: Path) -> int:
    """Return the place of a file in the order of starts."""
    places = {TESTS / name: place for place, name in enumerate(ORDER)}
    return places.get(path, len(places))
