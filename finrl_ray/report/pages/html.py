"""A page as one HTML file that needs nothing else: styles, scripts, Plotly and data are in it."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from finrl_ray.report.charts.plotly import plotly_json
from finrl_ray.report.pages.blocks import Block, FigureBlock, Page

_PAGE = files("finrl_ray.report").joinpath("page")


def render(page: Page, figure_files: Mapping[str, Sequence[str]]) -> str:
    """Return a page as HTML, everything in it escaped.

    Parameters
    ----------
    page : what is on it
    figure_files : by figure, the files beside the page that hold it too
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_text("report.html"))
    sections = [
        {
            "anchor": section.anchor,
            "title": section.title,
            "lines": section.lines,
            "blocks": [_filled(block, figure_files) for block in section.blocks],
        }
        for section in page.sections
    ]
    values = {name: getattr(page, name) for name in page.__dataclass_fields__}
    answer = page.answer
    if answer is not None:
        parts = {name: getattr(answer, name) for name in answer.__dataclass_fields__}
        values["answer"] = {**parts, "figure": _filled(answer.figure, figure_files)}
    return template.render(
        page={**values, "sections": sections},
        style=Markup(_text("report.css")),  # our own files, not data
        script=Markup(_text("report.js")),
        plotly=Markup(get_plotlyjs()),
    )


def _text(name: str) -> str:
    return _PAGE.joinpath(name).read_text(encoding="utf-8")


def _filled(block: Block, figure_files: Mapping[str, Sequence[str]]) -> Any:
    if not isinstance(block, FigureBlock):
        return block
    figure = block.figure
    return {
        "type": block.type,
        "name": figure.name,
        "title": figure.title,
        "caption": figure.caption,
        "empty": figure.empty,
        "height": figure.height,
        "beside": figure.beside,
        "wide": block.wide,
        "json": "" if figure.empty else script_json(plotly_json(figure)),
        "files": [
            {"href": name, "label": name.rpartition(".")[2].upper()}
            for name in figure_files.get(figure.name, ())
        ],
    }


def script_json(value: Any) -> Markup:
    """Return JSON that can stand in a script element: nothing in it can end that element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)
