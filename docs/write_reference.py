"""Write the pages of docs/ that are generated, or have a generated table: `make reference`."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from finrl_ray.cli.reference import cli_reference
from finrl_ray.config.reference.field_texts import field_texts
from finrl_ray.config.reference.json_schema import schema_text
from finrl_ray.config.reference.reference_page import config_reference
from finrl_ray.env.rules import FINRL_RULES, TradingRules

DOCS = Path(__file__).parent


def environment_page() -> str:
    """Return docs/environment.md with the table of the env's options as the code has them."""
    text = (DOCS / "environment.md").read_text(encoding="utf-8")
    begin, end = r"<!-- options: [^>]* -->\n", "<!-- end of options -->"
    found = re.search(f"({begin}).*?({end})", text, re.DOTALL)
    if found is None:
        raise ValueError("docs/environment.md has lost the marks around its table of options")
    return f"{text[: found.end(1)]}\n{_options_table()}\n{text[found.start(2) :]}"


def _options_table() -> str:
    rows = ["| option | default | FinRL (`parity=True`) | meaning |", "|---|---|---|---|"]
    texts = field_texts(TradingRules)
    for field in dataclasses.fields(TradingRules):
        finrl = getattr(FINRL_RULES, field.name)
        same = "same" if finrl == field.default else f"`{_value(finrl)}`"
        rows.append(
            f"| `{field.name}` | `{_value(field.default)}` | {same} | {texts[field.name]} |"
        )
    return "".join(f"{row}\n" for row in rows)


def _value(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


PAGES = {
    "config_reference.md": config_reference,
    "cli_reference.md": cli_reference,
    "config.schema.json": schema_text,
    "environment.md": environment_page,
}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
