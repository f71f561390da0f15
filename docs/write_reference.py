"""Write the pages of docs/ that are generated: `make reference`."""

from pathlib import Path

from finrl_ray.cli.reference import cli_reference
from finrl_ray.config.reference.json_schema import schema_text
from finrl_ray.config.reference.reference_page import config_reference

DOCS = Path(__file__).parent
PAGES = {
    "config_reference.md": config_reference,
    "cli_reference.md": cli_reference,
    "config.schema.json": schema_text,
}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
