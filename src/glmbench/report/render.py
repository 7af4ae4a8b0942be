"""From a Vega-Lite specification to SVG and PDF, and the scripts that draw it on a page; all offline, by vl-convert."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from glmbench.report.figures import Figure


@dataclass(frozen=True)
class Drawn:
    """A figure with its two printable forms."""

    figure: Figure
    svg: str
    pdf: bytes


@cache
def _vega_lite_version() -> str:
    """The Vega-Lite version altair wrote the specification for, as vl-convert names it: `6.1`."""
    import altair as alt

    return ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])


FIGURE_SUFFIXES = (".svg", ".pdf", ".png", ".html")
"""Of the files that `write_figure` writes."""


def write_figure(figure: Figure, *paths: Path) -> None:
    """Draw a figure once and write it to every path; the suffix, one of `FIGURE_SUFFIXES`, says how.

    The HTML holds all it needs. PNG is twice as large as the figure says, for screens of today.
    """
    import vl_convert

    from glmbench.storage.atomic import write_bytes, write_text

    drawn = draw(figure)
    for path in paths:
        match path.suffix:
            case ".svg":
                write_text(path, drawn.svg)
            case ".pdf":
                write_bytes(path, drawn.pdf)
            case ".png":
                write_bytes(path, vl_convert.svg_to_png(drawn.svg, scale=2))
            case ".html":
                write_text(path, vl_convert.vegalite_to_html(figure.spec, bundle=True))
            case suffix:
                raise ValueError(f"{path}: a figure is written as {', '.join(FIGURE_SUFFIXES)}, not {suffix!r}")


@cache
def scripts() -> str:
    """Vega, Vega-Lite and vega-embed in one script, about 0.9 MB, that puts `vegaEmbed` on the window."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=_vega_lite_version())
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def draw(figure: Figure) -> Drawn:
    """Draw a figure; the PDF is made from the SVG, so both show the same."""
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(_plain(figure.spec), vl_version=_vega_lite_version())
    pdf: bytes = vl_convert.svg_to_pdf(svg)
    return Drawn(figure, svg, pdf)


def _plain(spec: dict[str, Any]) -> dict[str, Any]:
    """The specification on white paper, without a spoken label at every mark (they are half of the file)."""
    return spec | {"config": spec.get("config", {}) | {"background": "white", "aria": False}}
