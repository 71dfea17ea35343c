"""Score a model: segmentation on whole images, or classification.

python -m training.evaluate RUN
python -m training.evaluate RUN_OR_MODEL --data FOLDER --split test
python -m training.evaluate RUN_OR_MODEL --data FOLDER --split test --multi-scale
"""

from pathlib import Path

from tyro.conf import OmitArgPrefixes

from keras_encnet.utils.files import check_writable
from training import cli, tasks
from training.run import run_folder, trained_models
from training.tasks.segmentation_scores import SegmentationScoring


def main(
    model: Path,
    data: str | None = None,
    split: str = "test",
    segmentation: OmitArgPrefixes[SegmentationScoring] = SegmentationScoring(),
    output: Path | None = None,
) -> None:
    """Score a model: segmentation on whole images, or classification.

    Args:
        model: Run folder (its best model), or `.keras` file.
        data: Folder, `scenes`, `cifar10` or `cifar100`; by default the data of the run.
        split: Split to score, such as `test` or `train+val`.
        segmentation: How masks are scored; not for classifiers.
        output: Folder of the results; by default `evaluation-SPLIT` next to the model.
    """
    path = trained_models.find_model(model)
    network = trained_models.load_model(path, trained_models.KINDS)
    data = data or trained_models.data_of_run(path)
    check_writable(path.parent if output is None else output)
    scorer = tasks.scorer_of(network, data, split, segmentation, trained_models.run_of(path))
    trained_models.check_classes(network, scorer.split.class_names, path, data)
    scores, matrix = scorer.score()
    print(scorer.table(scores))
    output = output or path.parent / scorer.name
    measured = {"model": str(path), "data": data, "split": split, **scorer.settings}
    record = {**measured, "images": len(scorer.split), **scores}
    run_folder.write_json(output / "scores.json", record)
    scorer.save_figures(output, scores, matrix)
    print(f"Results written to {output}")


if __name__ == "__main__":
    cli.run(main)
