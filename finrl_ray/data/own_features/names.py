"""Names of the features that functions of the user's give: `my_features:compute/trend[window=10]`.

The part before the slash is the function's reference, the part after it the column of the table
that it returns (none for a single series), and the brackets hold its keywords as JSON, in the order
of their names. So a name says what it is computed from, whether its keywords are fixed in the
config or chosen by a trial.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from finrl_ray.support.values import nested_to_python

FEATURE_KWARGS = "data.feature_kwargs"
"""The option whose entries are keywords of the functions: `data.feature_kwargs.window`."""
FORBIDDEN = "[]"
"""Characters that no column of a table may have in its name."""
_KEYWORD = re.compile(r"([^\W\d]\w*)=")


def feature_name(reference: str, column: str, keywords: Mapping[str, Any]) -> str:
    """Return the name of one feature.

    Parameters
    ----------
    reference : of the function
    column : of what it returns; empty for a single series
    keywords : that it is called with, as YAML can keep them
    """
    whole = f"{reference}/{column}" if column else reference
    if not keywords:
        return whole
    said = ", ".join(f"{name}={value_text(keywords[name])}" for name in sorted(keywords))
    return f"{whole}[{said}]"


def value_text(value: Any) -> str:
    """Return a keyword's value as names have it."""
    return json.dumps(nested_to_python(value), sort_keys=True)


def is_of(name: str, reference: str) -> bool:
    """Return whether a feature is one that a function gives."""
    return name == reference or name.startswith((f"{reference}/", f"{reference}["))


def keywords_of(name: str) -> dict[str, Any]:
    """Return the keywords in the name of a feature; empty if it is no such name."""
    start = name.find("[")
    if start < 0 or not name.endswith("]"):
        return {}
    found, position, decoder = {}, start + 1, json.JSONDecoder()
    while position < len(name) - 1:
        match = _KEYWORD.match(name, position)
        if match is None:
            return {}
        try:
            found[match[1]], position = decoder.raw_decode(name, match.end())
        except ValueError:
            return {}
        position += 2  # a comma and a blank, or the end
    return found
