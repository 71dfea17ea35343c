"""Saves Matplotlib figures."""

import os

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from keras_encnet.utils.files import atomic_file


def save_figure(path: str | os.PathLike, figure: Figure) -> None:
    """Writes a Matplotlib figure atomically and closes it."""
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=120)
    plt.close(figure)
