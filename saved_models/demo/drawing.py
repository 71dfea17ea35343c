"""Predictions as HTML, with all images embedded, so that no file on the server is served."""

import base64
import html
import io
import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_encnet.labels import default_palette
from keras_encnet.utils.png import encode_indexed_png
from saved_models.demo.models import Prediction
from saved_models.demo.uploads import Upload
from training.figures.codewords import context_figure
from training.figures.overlays import colorize, thinned
from training.tasks.descriptions import describe

OPACITY = 0.55  # of the mask, until the page changes `--mask-opacity`
STYLE = f"""
.overlay {{position: relative}}
.overlay img {{display: block; width: 100%; image-rendering: auto}}
.overlay .mask {{position: absolute; inset: 0; height: 100%; image-rendering: pixelated;
  opacity: var(--mask-opacity, {OPACITY})}}
.legend {{width: 100%; border-collapse: collapse; margin: 0.5em 0}}
.legend th, .legend td {{text-align: right; padding: 0.15em 0.5em}}
.legend th:first-child, .legend td:first-child {{text-align: left}}
.legend .color {{display: inline-block; width: 1em; height: 1em; margin-right: 0.5em;
  vertical-align: -0.1em; border: 1px solid gray}}
.legend .contradiction {{font-weight: bold}}
.alert {{padding: 0.6em 1em; border-left: 4px solid #c0392b}}
.note {{font-size: 0.9em; opacity: 0.8}}
.downloads a {{margin-right: 1.5em; text-decoration: underline}}
.context img {{width: 100%; background: white}}
"""


def result(name: str, upload: Upload, prediction: Prediction) -> str:
    """Returns everything about one prediction: overlay, legend, downloads, codewords and gates.

    Args:
        name: name of the model.
        upload: the image.
        prediction: its prediction.
    """
    return heading(name) + "".join(
        [
            overlay(upload.pixels, prediction.mask, len(prediction.class_names)),
            legend(prediction),
            *map(note, prediction.notes),
            downloads(name, upload.path, prediction),
            context(prediction),
        ]
    )


def heading(name: str) -> str:
    """Returns the name of a model as a heading."""
    return f"<h3>{html.escape(name)}</h3>"


def alert(sentence: str) -> str:
    """Returns an error as a paragraph that screen readers announce."""
    return f'<p class="alert" role="alert">{html.escape(sentence)}</p>'


def note(sentence: str) -> str:
    """Returns a remark as a paragraph."""
    return f'<p class="note">{html.escape(sentence)}</p>'


def overlay(image: np.ndarray, mask: np.ndarray, classes: int) -> str:
    """Returns an image and, on top of it, its mask, whose opacity the page sets.

    Images of more than 2048 pixels on a side are reduced.

    Args:
        image: uint8 `(height, width, 3)`.
        mask: class ids `(height, width)`.
        classes: number of classes.
    """
    photo = data_url("image/jpeg", tf.io.encode_jpeg(thinned(image), quality=90).numpy())
    colored = tf.io.encode_png(colorize(thinned(mask), classes)).numpy()
    return (
        f'<div class="overlay"><img src="{photo}" alt="image">'
        f'<img class="mask" src="{data_url("image/png", colored)}" alt="mask"></div>'
    )


def legend(prediction: Prediction) -> str:
    """Returns a table of the classes in a mask: color, share of the pixels and presence.

    Classes that are probably present without a pixel follow. A presence that contradicts the mask
    is marked.
    """
    names = prediction.class_names
    description = describe(prediction.mask, names, prediction.presence)
    palette = default_palette(len(names))
    shown = [*description["shares"], *description.get("without_pixels", ())]
    rows = [
        _row(
            name,
            palette[names.index(name)],
            description["shares"].get(name, 0.0),
            description.get("presence", {}).get(name),
            name in description.get("contradictions", ()),
        )
        for name in shown
    ]
    presence = "" if prediction.presence is None else "<th>probability of presence</th>"
    header = f"<tr><th>class</th><th>share of pixels</th>{presence}</tr>"
    return f'<table class="legend">{header}{"".join(rows)}</table>'


def _row(name, color, share, presence, contradiction):
    cells = [
        f'<span class="color" style="background: rgb{tuple(color.tolist())}"></span>'
        + html.escape(name),
        f"{share:.1%}",
    ]
    if presence is not None:
        mark = ' <span class="contradiction">contradicts the mask</span>' * contradiction
        cells.append(f"{presence:.0%}{mark}")
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def downloads(name: str, path: Path, prediction: Prediction) -> str:
    """Returns links to the mask, an indexed PNG whose pixels are class ids, and to JSON.

    Args:
        name: name of the model.
        path: the image.
        prediction: its prediction.
    """
    names = prediction.class_names
    png = encode_indexed_png(prediction.mask, default_palette(len(names))).numpy()
    record = {
        "image": path.name,
        "model": name,
        "height_and_width": prediction.mask.shape,
        **describe(prediction.mask, names, prediction.presence),
    }
    links = {
        "mask": (f"{path.stem}.png", data_url("image/png", png)),
        "JSON": (
            f"{path.stem}.json",
            data_url("application/json", json.dumps(record, indent=2).encode()),
        ),
    }
    return f'<p class="downloads">{"".join(_link(k, *v) for k, v in links.items())}</p>'


def _link(text, file, url):
    return f'<a download="{html.escape(file)}" href="{url}">Download {text}</a>'


def context(prediction: Prediction) -> str:
    """Returns a figure of the assignment to codewords and of the gates, if they are known."""
    if prediction.assignment is None or prediction.gates is None:
        return ""
    file = io.BytesIO()
    context_figure(prediction.assignment, prediction.gates).savefig(file, format="png")
    url = data_url("image/png", file.getvalue())
    return (
        '<details class="context" open><summary>Codewords and gates</summary>'
        f'<img src="{url}" alt="assignment of pixels to codewords, and gates"></details>'
    )


def data_url(kind: str, data: bytes) -> str:
    """Returns bytes of a media type as a URL."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
