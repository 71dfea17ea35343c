"""The page, built with Gradio. It makes no request to another machine and shares no link."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence

import gradio as gr

from saved_models.demo.drawing import OPACITY, STYLE
from saved_models.demo.models import KerasModel, Model
from saved_models.demo.responses import Responder
from saved_models.demo.uploads import PageLimits

KEPT_SECONDS = 3600  # after which an uploaded file is deleted
CLEANING_SECONDS = 60  # between two searches for such files
WAITING = 16  # number of images that may wait for the models
SET_OPACITY = "x => { document.documentElement.style.setProperty('--mask-opacity', x) }"


def build_page(models: Sequence[Model], limits: PageLimits) -> gr.Blocks:
    """Returns the page: an upload and its options, then one column per model.

    Args:
        models: the models.
        limits: limits on one image.
    """
    adjustable = any(isinstance(model, KerasModel) for model in models)
    with gr.Blocks(
        title="Segmentation", analytics_enabled=False, delete_cache=(CLEANING_SECONDS, KEPT_SECONDS)
    ) as page:
        gr.Markdown("# Segmentation")
        with gr.Row():
            image = gr.File(label=_label(limits), height=160, elem_id="image")
            with gr.Column():
                opacity = gr.Slider(0, 1, OPACITY, label="Opacity of the mask", elem_id="opacity")
                window = gr.Number(
                    0,
                    label="Window",
                    info="Height and width in pixels, then Enter; 0: the entire image.",
                    visible=adjustable,
                    elem_id="window",
                )
                native = gr.Checkbox(
                    label="Native size",
                    info="Do not resize the image to the working size.",
                    visible=adjustable,
                )
        message = gr.HTML(elem_id="message")
        with gr.Row():
            parts = []
            for _ in models:
                with gr.Column(min_width=320):
                    parts.append(gr.HTML(elem_classes="result"))
        # One image at a time: the networks use all cores.
        gr.on(
            [image.change, window.submit, native.change],
            Responder(models, limits).__call__,
            [image, window, native],
            [message, *parts],
            concurrency_limit=1,
            api_visibility="private",
        )
        opacity.change(None, opacity, js=SET_OPACITY, api_visibility="private")
    return page.queue(max_size=WAITING)


@contextlib.contextmanager
def served(models: Sequence[Model], limits: PageLimits, host: str, port: int) -> Iterator[str]:
    """Context manager of the running page, which yields its address.

    Uploaded files are stored in a temporary folder, the only one that the page gives access to.

    Args:
        models: the models.
        limits: limits on one image.
        host: name or address of the interface to listen on.
        port: the port.

    Raises:
        OSError: if the port is in use or there is no such interface.
    """
    with tempfile.TemporaryDirectory(prefix="uploads-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # read when a page is built
        page = build_page(models, limits)
        try:
            yield _listen(page, limits, host, port)
        finally:
            page.close(verbose=False)


def _listen(page, limits, host, port):
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            prevent_thread_lock=True,
            quiet=True,
            max_file_size=limits.bytes,
            allowed_paths=[],
            footer_links=[],
            enable_monitoring=False,
            mcp_server=False,
            ssr_mode=False,
            css=STYLE,
            theme=gr.themes.Default(font="system-ui", font_mono="monospace"),
        )
    except OSError as error:
        raise OSError(
            "The port is in use, or this machine has no such interface: choose another `--port` or "
            f"`--host`. Received: host={host!r}, port={port}"
        ) from error
    return address


def _label(limits):
    return (
        f"Image: JPEG, PNG, GIF or BMP, at most {limits.bytes / 2**20:.3g} MiB and "
        f"{limits.pixels / 1e6:.3g} megapixels"
    )
