"""The study as one HTML file that asks nothing of a network, as a PNG, as JSON and as CSV."""

from __future__ import annotations

import base64
import csv
import io
import json
from html import escape

from deploybench.attention.drawing import draw
from deploybench.attention.seen import Panel
from deploybench.attention.study import Looked, Row, Study
from deploybench.inert import csv_cell, inert
from deploybench.plurals import counted

COLUMNS = ("model", "quantity", "layer", "value", "low", "high", "images", "unit")
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: auto; padding: 1rem; }
img { max-width: 100%; height: auto; background: white; }
.limits { border-inline-start: 4px solid #b58900; padding-inline-start: .6rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; }
th, td { padding: .2rem .6rem; text-align: start; border-bottom: 1px solid #8888; }
td.number { text-align: end; font-variant-numeric: tabular-nums; }
"""


def html_of(study: Study) -> str:
    """One page; the pictures are in it."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>What models look at</title><style>{STYLE}</style></head><body><main>"
        f"<h1>What models look at</h1><p>Image: {_safe(study.image)}, as each model gets it. "
        "The pixels that ask are marked in yellow. Colours go from 0 to the largest weight of each "
        "map: compare shapes, not brightness.</p>"
    ]
    if study.unread:
        names = ", ".join(map(_safe, study.unread))
        parts.append(f'<p class="limits">Could not be read and were left out: {names}</p>')
    parts += [_model(looked) for looked in study.looked]
    parts.append(_numbers(study.rows, study.notes))
    parts.append("</main></body></html>")
    return "\n".join(parts)


def png_of(study: Study) -> bytes:
    """All panels of all models below each other, each over the picture of its own model.

    Raises DeployBenchError where Matplotlib is not there.
    """
    from PIL import Image

    pictures = []
    for looked in study.looked:
        name = inert(f"{looked.model}, {looked.weights.partition(':')[0]}")
        panels = [(name, panel) for panel in looked.sight.panels]
        if panels:
            pictures.append(Image.open(io.BytesIO(draw(panels, looked.picture))).convert("RGB"))
    width = max((picture.width for picture in pictures), default=1)
    height = sum(picture.height for picture in pictures) or 1
    sheet = Image.new("RGB", (width, height), "white")
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    return file.getvalue()


def json_of(study: Study) -> str:
    """The numbers, and what was looked at."""
    models = [
        {
            "model": looked.model,
            "weights": looked.weights,
            "answer": looked.sight.answer,
            "notes": [*looked.notes, *looked.sight.notes],
        }
        for looked in study.looked
    ]
    rows = [row.as_dict() for row in study.rows]
    whole = {"image": study.image, "unread": study.unread, "models": models, "numbers": rows}
    if study.notes:
        whole["notes"] = study.notes
    return json.dumps(whole, indent=1)


def csv_of(study: Study) -> str:
    """The numbers, a line each."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in study.rows:
        values = row.as_dict()
        writer.writerow([csv_cell(values[column]) for column in COLUMNS])
    return stream.getvalue()


def _model(looked: Looked) -> str:
    notes = "".join(f"<li>{_safe(note)}</li>" for note in (*looked.notes, *looked.sight.notes))
    panels = "".join(_panel(looked, panel) for panel in looked.sight.panels)
    return (
        f"<section><h2>{_safe(looked.model)}</h2><p>{_safe(looked.weights)}</p>"
        f"<ul>{notes}</ul>{panels}</section>"
    )


def _panel(looked: Looked, panel: Panel) -> str:
    data = base64.b64encode(draw([("", panel)], looked.picture)).decode()
    alt = (
        f"{panel.title} of {looked.model}, {panel.what}: {len(panel.rows)} x "
        f"{counted(len(panel.columns), 'map')}"
    )
    return (
        f'<h3>{_safe(panel.title)}</h3><p class="limits">{_safe(panel.limits)}</p>'
        f'<div class="wide"><img src="data:image/png;base64,{data}" alt="{_safe(alt)}"></div>'
    )


def _numbers(rows: tuple[Row, ...], notes: tuple[str, ...]) -> str:
    without = "".join(f"<li>{_safe(note)}</li>" for note in notes)
    if without:
        without = f"<p>In no number:</p><ul>{without}</ul>"
    head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows)
    return (
        "<section><h2>Numbers</h2><p>Entropy: 1 is even, 0 one place. Distance: how far a place "
        "looks on average, in pixels of the image. Agreement: Spearman's rank correlation of two "
        "maps. low and high: 95 % bootstrap interval over the images, from three images on.</p>"
        f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{without}</section>"
    )


def _cells(row: Row) -> str:
    cells = []
    for value in row.as_dict().values():
        if value is None:
            cells.append("<td>–</td>")
        elif isinstance(value, (int, float)):
            cells.append(f'<td class="number">{value:.4g}</td>')
        else:
            cells.append(f"<td>{_safe(str(value))}</td>")
    return "".join(cells)


def _safe(words: str) -> str:
    return escape(inert(words))
