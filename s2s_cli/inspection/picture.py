"""The layers of a model as a picture: each once, and a line for each Keras model that passes it."""

from __future__ import annotations

from html import escape

from s2s_cli.inspection.structure import MODELS, SharedLayer, Structure

# In pixels: a row, the columns of names and shapes, between two lines of models, and the bar of
# parameters.
ROW, NAME, SHAPE, LANE, BAR, MARGIN, HEAD = 22, 250, 210, 92, 150, 16, 86

STYLE = """
:root { color-scheme: light dark; }
text { font: 12px system-ui, sans-serif; fill: #1b1f24; }
.title { font-size: 15px; font-weight: 600; }
.quiet { fill: #57606a; }
.number { text-anchor: end; font-variant-numeric: tabular-nums; }
.row { fill: #f3f4f6; } .bar { fill: #c4cad2; } .back { fill: #ffffff; }
.training { stroke: #0b62c4; fill: #0b62c4; }
.encoder { stroke: #1a7f37; fill: #1a7f37; }
.decoder { stroke: #b35900; fill: #b35900; }
.lane { stroke-width: 2; } .lane, .passed { fill: none; }
text.training, text.encoder, text.decoder { stroke: none; font-weight: 600; text-anchor: middle; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .quiet { fill: #9da7b3; }
  .row { fill: #1c2128; } .bar { fill: #444c56; } .back { fill: #0d1117; }
  .training { stroke: #6cb0ff; fill: #6cb0ff; }
  .encoder { stroke: #56d364; fill: #56d364; }
  .decoder { stroke: #ffa657; fill: #ffa657; }
}
"""


def picture(structure: Structure, title: str) -> str:
    """The structure as SVG 1.1, on its own: no font, script or file from elsewhere."""
    rows = structure.layers
    width = 2 * MARGIN + NAME + SHAPE + BAR + len(MODELS) * LANE
    height = HEAD + ROW * len(rows) + 3 * ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="img" aria-labelledby="title description">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="description">{escape(_description(structure))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="back" width="{width}" height="{height}"/>',
        _text(MARGIN, 26, title, "title"),
        _text(MARGIN, 46, _summary(structure), "quiet"),
        _text(MARGIN, HEAD - 10, "layer", "quiet"),
        _text(MARGIN + NAME, HEAD - 10, "weights", "quiet"),
        _text(MARGIN + NAME + SHAPE, HEAD - 10, "parameters", "quiet"),
    ]
    for number, layer in enumerate(rows):
        parts += _row(layer, number, structure.share(layer), width)
    for index, model in enumerate(MODELS):
        parts += _lane(structure, model, index)
    return "\n".join([*parts, "</svg>", ""])


def _summary(structure: Structure) -> str:
    bound = "at most " if structure.is_bound else ""
    return (
        f"{structure.architecture}, {bound}{structure.parameters:,} parameters; a line passes the layers"
        " that a Keras model calls, and each layer is one object"
    )


def _description(structure: Structure) -> str:
    return " ".join(
        f"{layer.name}: {layer.parameters:,} parameters, called by {' and '.join(layer.models)}."
        for layer in structure.layers
    )


def _row(layer: SharedLayer, number: int, share: float, width: int) -> list[str]:
    top = HEAD + ROW * number
    x = MARGIN + NAME + SHAPE
    background = f'<rect class="row" x="0" y="{top}" width="{width}" height="{ROW}"/>'
    return [
        *([background] if number % 2 == 0 else []),
        f'<rect class="bar" x="{x}" y="{top + 4}" width="{share * (BAR - 20):.1f}"'
        f' height="{ROW - 8}"/>',
        _text(MARGIN, top + 15, _shortened(layer.name, 36)),
        _text(MARGIN + NAME, top + 15, _shortened(layer.shapes, 32), "quiet"),
        _text(x + BAR - 24, top + 15, f"{layer.parameters:,}", "number"),
    ]


def _lane(structure: Structure, model: str, index: int) -> list[str]:
    """The line of a model, with a station at each layer that it calls."""
    x = MARGIN + NAME + SHAPE + BAR + LANE * index + LANE // 2
    called = [i for i, layer in enumerate(structure.layers) if model in layer.models]
    first, last = (HEAD + ROW * i + ROW // 2 for i in (called[0], called[-1]))
    end = HEAD + ROW * len(structure.layers) + 18
    return [
        _text(x, HEAD - 10, model, model),
        f'<path class="lane {model}" d="M {x} {first} V {last}"/>',
        *(
            f'<circle class="{model}" cx="{x}" cy="{HEAD + ROW * i + ROW // 2}" r="5">'
            f"<title>{escape(f'{model} calls {structure.layers[i].name}')}</title></circle>"
            for i in called
        ),
        _text(x, end, f"{structure.parameters_of(model):,}", model),
    ]


def _text(x: int, y: int, text: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>'


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
