"""Write the pages of docs/ that are generated, or have a generated table: `make reference`."""

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finrl_ray.cli.reference import cli_reference
from finrl_ray.config.checks import default_of
from finrl_ray.config.reference.field_texts import field_texts
from finrl_ray.config.reference.json_schema import schema_text
from finrl_ray.config.reference.reference_page import config_reference
from finrl_ray.config.search import SEARCHERS, SearchConfig
from finrl_ray.env.own_reward.terms import TERMS
from finrl_ray.env.rules import FINRL_RULES, TradingRules
from finrl_ray.metrics.own import METRIC_TERMS

DOCS = Path(__file__).parent


def environment_page() -> str:
    """Return docs/environment.md with the table of the env's options as the code has them."""
    return _with_table("environment.md", "options", _options_table())


def search_page() -> str:
    """Return docs/search.md with the table of searchers as the config has them."""
    return _with_table("search.md", "searchers", _searchers_table())


def reward_page() -> str:
    """Return docs/bring/reward.md with the table of what a reward is told."""
    return _with_table("bring/reward.md", "terms", _terms_table(TERMS))


def metric_page() -> str:
    """Return docs/bring/metric.md with the table of what a metric is told."""
    return _with_table("bring/metric.md", "terms", _terms_table(METRIC_TERMS))


def _terms_table(terms: Mapping[str, Any]) -> str:
    rows = ["| Name | Shape | Unit | What it is |", "|---|---|---|---|"]
    rows += [f"| `{n}` | {t.shape or 'number'} | {t.unit} | {t.text} |" for n, t in terms.items()]
    return "".join(f"{row}\n" for row in rows)


def _with_table(page: str, what: str, table: str) -> str:
    """Return a page of docs/ with a table between its two marks."""
    text = (DOCS / page).read_text(encoding="utf-8")
    begin, end = rf"<!-- {what}: [^>]* -->\n", f"<!-- end of {what} -->"
    found = re.search(f"({begin}).*?({end})", text, re.DOTALL)
    if found is None:
        raise ValueError(f"docs/{page} has lost the marks around its table of {what}")
    return f"{text[: found.end(1)]}\n{table}\n{text[found.start(2) :]}"


def _searchers_table() -> str:
    default = SearchConfig().searcher
    rows = ["| searcher | samples |", "|---|---|"]
    for name, searcher in SEARCHERS.items():
        said = f"`{name}` (default)" if name == default else f"`{name}`"
        rows.append(f"| {said} | {searcher.samples} |")
    return "".join(f"{row}\n" for row in rows)


def _options_table() -> str:
    rows = ["| option | default | FinRL (`parity=True`) | meaning |", "|---|---|---|---|"]
    texts = field_texts(TradingRules)
    for field in dataclasses.fields(TradingRules):
        finrl = getattr(FINRL_RULES, field.name)
        default = default_of(field)
        same = "same" if finrl == default else f"`{_value(finrl)}`"
        rows.append(f"| `{field.name}` | `{_value(default)}` | {same} | {texts[field.name]} |")
    return "".join(f"{row}\n" for row in rows)


def _value(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


PAGES = {
    "config_reference.md": config_reference,
    "cli_reference.md": cli_reference,
    "config.schema.json": schema_text,
    "environment.md": environment_page,
    "search.md": search_page,
    "bring/reward.md": reward_page,
    "bring/metric.md": metric_page,
}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
