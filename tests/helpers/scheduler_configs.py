"""The `search.scheduler` section of a type that a test names."""

from typing import Any

from finrl_ray.config.schedulers import Scheduler
from finrl_ray.config.tagged_sections import tagged_section

_SECTION = tagged_section(Scheduler)
assert _SECTION is not None
VARIANTS = _SECTION.variants


def scheduler_config(kind: str, **options: Any) -> Any:
    return VARIANTS[kind](**options)
