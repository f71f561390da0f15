"""Parallel hyperparameter search for deep-RL trading agents on Ray Tune and Stable-Baselines3.

Every name of the training guide (`docs/training_guide.md`) can be imported from here; anything else
is imported from the module that defines it. `BaseCallback` and `DummyVecEnv` are SB3's own, which
such programs import beside ours.
"""

from finrl_ray._version import __version__ as __version__
from finrl_ray.files.private_folder import set_fallback_folders
from finrl_ray.support.public_names import public_names

# imported when used (`__init__.pyi` is the table): `import finrl_ray` loads neither torch nor ray
__getattr__, __dir__, __all__ = public_names(__name__, __file__, before=set_fallback_folders)
