"""Publish a trained model with a model card, on the Hugging Face Hub or in a folder.

python -m saved_models.publish MODEL hf://USER/NAME --license cc-by-4.0
python -m saved_models.publish MODEL FOLDER --license cc-by-4.0
"""

import tempfile
from pathlib import Path

import keras
import tyro

from keras_encnet.utils.files import atomic_folder
from saved_models.hub import Hub, repository_of
from saved_models.hub_card import Facts, hub_card
from saved_models.provenance import data_of, origin_of, scores_of
from training import cli
from training.run import trained_models


def main(
    model: tyro.conf.Positional[Path],
    target: tyro.conf.Positional[str],
    license: str,
    title: str | None = None,
    data: str | None = None,
    origin: str | None = None,
    scores: Path | None = None,
    private: bool = False,
) -> None:
    """Publish a trained model with a model card, on the Hugging Face Hub or in a folder.

    The model is saved without its optimizer, in the form that `keras.saving.load_model` reads from
    `hf://USER/NAME` and from folders, next to its card, `README.md`. A repository that exists gets
    a new commit; a folder must not exist.

    Args:
        model: Run folder (its best model), or `.keras` file.
        target: `hf://USER/NAME`, or a new folder.
        license: Identifier of the license of the weights, such as `cc-by-4.0`. It must be
            compatible with that of the training data.
        title: Title of the card; by default the name of the repository or folder.
        data: Description of the training data, such as their source and license; by default name
            and number of images, if known.
        origin: Origin of the weights; by default the file and the configuration of its run.
        scores: JSON file with scores; by default the newest evaluation.
        private: Create a private repository.
    """
    repository = repository_of(target)
    folder = Path(target)
    if repository is None and folder.exists():
        raise FileExistsError(
            f"Published folders are not overwritten: choose another. Received: target={target!r}"
        )
    if not license.strip():
        raise ValueError(f"`--license` must not be empty. Received: license={license!r}")
    path = trained_models.find_model(model)
    hub = None if repository is None else Hub(repository)
    network = trained_models.load_model(path, trained_models.KINDS)
    facts = Facts(
        license.strip(), data or data_of(path), origin or origin_of(path), scores_of(path, scores)
    )
    card = hub_card(network, repository, title or folder.name, facts)
    if hub is None:
        with atomic_folder(folder) as temporary:
            write(temporary, network, card)
        print(f"written to {folder}; see {folder / 'README.md'}")
        return
    with tempfile.TemporaryDirectory() as temporary:
        write(Path(temporary), network, card)
        address = hub.upload(Path(temporary), f"Upload {path.name}", private)
    print(f"uploaded: {address}")


def write(folder: Path, network: keras.Model, card: str) -> None:
    """Writes a model, without its optimizer, and its card to a folder."""
    configuration = keras.saving.serialize_keras_object(network) | {"compile_config": None}
    plain = keras.saving.deserialize_keras_object(configuration)
    plain.set_weights(network.get_weights())
    plain.save(folder, zipped=False)
    (folder / "README.md").write_text(card)


if __name__ == "__main__":
    with cli.plain_errors():
        tyro.cli(main, prog="python -m saved_models.publish")
