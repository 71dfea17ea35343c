"""Prepare a data set as a folder for training: a published one, or the generated scenes.

    python -m training.prepare ade20k data/ade20k
    python -m training.prepare cityscapes data/cityscapes --manual-dir ~/downloads
    python -m training.prepare scenes data/scenes

Archives that are not in the manual folder are downloaded, except those of Cityscapes, which require
a login. TensorFlow Datasets reads, verifies and caches the published data sets.
"""

from pathlib import Path

import tensorflow_datasets as tfds
import tyro
from tensorflow_datasets.core.download.extractor import ExtractError
from tensorflow_datasets.core.download.util import DownloadError

from training import cli
from training.datasets import scenes
from training.datasets.published import SOURCES, check_output, write_folder

Dataset = tyro.extras.literal_type_from_choices([*SOURCES, "scenes"])


def main(
    dataset: Dataset,  # type: ignore[valid-type]
    output: Path,
    tfds_dir: Path = Path("~/tensorflow_datasets"),
    manual_dir: Path | None = None,
) -> None:
    """Prepare a data set as a folder for training: a published one, or the generated scenes.

    Args:
        dataset: Name of the data set.
        output: Folder to write, the `--data` of the other commands.
        tfds_dir: Folder for downloads and prepared data sets of TensorFlow Datasets.
        manual_dir: Folder of archives that are already downloaded; required for Cityscapes.
    """
    if dataset == "scenes":
        print(f"written to {scenes.write(output)}")
        return
    if manual_dir is not None and not manual_dir.expanduser().is_dir():
        raise FileNotFoundError(f"The folder does not exist. Received: manual_dir={manual_dir}")
    check_output(output)
    source = SOURCES[dataset]
    builder = source.build(data_dir=tfds_dir.expanduser())
    print(f"{dataset}: {builder.info.homepage}\n{builder.MANUAL_DOWNLOAD_INSTRUCTIONS}")
    config = tfds.download.DownloadConfig(manual_dir=manual_dir and manual_dir.expanduser())
    try:
        builder.download_and_prepare(download_config=config)
    except AssertionError as error:  # TFDS's error for an archive that must be fetched by hand
        raise FileNotFoundError(str(error)) from error
    except ExtractError as error:
        raise ValueError(f"An archive cannot be unpacked: {error}") from error
    except DownloadError as error:
        raise OSError(
            f"{error}. If you have the archives, pass their folder with `--manual-dir`."
        ) from error
    print(f"written to {write_folder(source, builder, output)}")


if __name__ == "__main__":
    cli.run(main)
