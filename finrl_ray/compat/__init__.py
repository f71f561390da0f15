"""The names that users of FinRL bring: `from finrl_ray.compat import FeatureEngineer, ...`."""

from finrl_ray.files.private_folder import set_fallback_folders
from finrl_ray.support.public_names import public_names

# imported when used (`__init__.pyi` is the table): preparing data loads neither torch nor ray
__getattr__, __dir__, __all__ = public_names(__name__, __file__, before=set_fallback_folders)
