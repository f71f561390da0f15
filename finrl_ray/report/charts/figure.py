"""`Figure`: a figure of the report as a user holds it, which can be drawn, saved and displayed."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finrl_ray.report.charts.model import FigureData

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True, kw_only=True, eq=False)
class Figure(FigureData):
    """One figure of the report; its parameters are those of `FigureData`.

    Matplotlib and Plotly are imported when the figure is drawn: whoever only reads its table needs
    neither.
    """

    def plotly(self) -> "go.Figure":
        """Return it as a Plotly figure.

        Raises
        ------
        ValueError
            If there is nothing to show; the message says why.
        """
        from finrl_ray.report.charts.plotly import draw_plotly

        self._require_something()
        return draw_plotly(self)

    def save(self, path: str | Path, *, dpi: int = 150) -> None:
        """Write it as PNG or SVG, by the ending of `path`.

        Raises
        ------
        ValueError
            If there is nothing to show; the message says why.
        """
        from finrl_ray.report.charts.matplotlib import draw_files

        self._require_something()
        draw_files(self, [Path(path)], dpi=dpi)

    def _require_something(self) -> None:
        if self.empty:
            raise ValueError(f"{self.title}: {self.empty}")

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """Show it in a notebook: as a picture, and as Plotly's where that is understood."""
        if self.empty:
            return {"text/plain": f"{self.title}: {self.empty}"}
        from finrl_ray.report.charts.matplotlib import draw_into
        from finrl_ray.report.charts.plotly import plotly_json

        picture = io.BytesIO()
        draw_into(self, picture, "png", dpi=100)
        return {
            "application/vnd.plotly.v1+json": plotly_json(self),
            "image/png": base64.b64encode(picture.getvalue()).decode(),
            "text/plain": f"{self.title}\n{self.caption}",
        }
