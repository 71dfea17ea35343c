"""Segment images on a page in the browser.

python -m saved_models.demo runs/fcn runs/encnet
python -m saved_models.demo http://localhost:8501/v1/models/street
"""

import threading

import tyro

from keras_encnet.utils.checks import check_count
from keras_encnet.utils.packages import import_optional
from saved_models.demo.sources import open_models
from saved_models.demo.uploads import PageLimits
from training import cli


def main(
    models: tyro.conf.Positional[tuple[str, ...]],
    host: str = "127.0.0.1",
    port: int = 7860,
    limits: PageLimits = PageLimits(),  # noqa: B008
) -> None:
    """Segment images on a page in the browser, with one model or with several side by side.

    The page shows the mask over the image, the share and the probability of presence of each class
    and, for an EncNet in this process, codewords and gates. It stores uploaded files in a temporary
    folder for up to an hour.

    Args:
        models: Run folders (their best models), `.keras` files, folders of SavedModels, or
            addresses of models on TensorFlow Serving, such as
            `http://localhost:8501/v1/models/street` or `grpc://localhost:8500/v1/models/street`.
        host: Interface to listen on; `0.0.0.0` gives other machines access, without a password.
        port: Port to listen on.
        limits: Limits on one image.
    """
    if not models:
        raise ValueError("Name at least one model. Received: models=()")
    check_count("port", port, most=65535)
    import_optional("gradio", "gradio", "The page")
    from saved_models.demo.page import served  # needs gradio

    with served(open_models(models, limits), limits, host, port) as address:
        print(f"The page is at {address}; stop it with Ctrl-C.", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    with cli.plain_errors():
        tyro.cli(main, prog="python -m saved_models.demo")
