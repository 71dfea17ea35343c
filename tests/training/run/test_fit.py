"""The fit loop: bad data, precision, averaged weights, clipping, and losses that are not finite."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from PIL import ExifTags, Image

from tests.fixtures import SMALL_CIFAR, SMALL_ENCNET, SMALL_FCN
from training.configs.cifar10 import CIFAR10EncNet16k64d, CIFAR10ResNet64d
from training.configs.scenes import ScenesEncNet, ScenesFCN
from training.datasets import cifar, scenes
from training.input.folder import read_split
from training.run import callbacks, checkpoints, fit
from training.tasks import segmentation, splits

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return str(scenes.write(tmp_path_factory.mktemp("data") / "scenes", train=8, val=2, test=1))


@pytest.fixture
def small_cifar(monkeypatch, rng):
    images, labels = rng.integers(0, 256, (16, 32, 32, 3)), rng.integers(0, 10, 16)
    split = cifar.Split(
        "train", images.astype("uint8"), labels.astype("int32"), tuple("abcdefghij")
    )
    monkeypatch.setattr(cifar, "read_split", lambda *arguments: split)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_segmentation_trains_in_mixed_precision(precision, data, tmp_path):
    config = ScenesEncNet(data=data, precision=precision, **SMALL_ENCNET)
    check_mixed(config, tmp_path, precision)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_classification_trains_in_mixed_precision(precision, small_cifar, tmp_path):
    config = CIFAR10EncNet16k64d(precision=precision, epochs=1, **SMALL_CIFAR)
    check_mixed(config, tmp_path, precision)


@pytest.mark.parametrize(
    ("emulated", "gpus", "warns"), [(True, [], True), (False, [], False), (True, ["GPU"], False)]
)
def test_emulated_precision_is_warned_of_unless_there_is_a_gpu(
    emulated, gpus, warns, monkeypatch, capsys
):
    monkeypatch.setattr(fit, "emulates", lambda precision: emulated)
    monkeypatch.setattr(fit.tf.config, "list_physical_devices", lambda kind: gpus)
    fit.warn_of_emulation("bfloat16")
    assert ("no instructions for bfloat16" in capsys.readouterr().out) == warns


def check_mixed(config, run_dir, precision):
    before = fit.task_of(config).build_model().get_weights()
    model, history = fit.train(config, run_dir)
    assert all(np.isfinite(values).all() for values in history.values())
    assert any((one != other).any() for one, other in zip(before, model.get_weights(), strict=True))
    # Convolutions compute in half precision, weights and outputs are float32.
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert convolutions[0].compute_dtype == precision
    assert {weight.dtype for weight in model.weights} == {"float32"}
    for output in keras.tree.flatten(model.output):
        assert output.dtype == "float32"
    scales = isinstance(model.optimizer, keras.mixed_precision.LossScaleOptimizer)
    assert scales == (precision == "float16")


@pytest.mark.slow
def test_averages_are_saved_and_checkpoints_keep_the_weights(small_cifar, tmp_path):
    config = CIFAR10ResNet64d(
        width=4, batch_size=8, epochs=3, average_weights=0.5, clip_norm=0.1, learning_rate=0.5
    )
    model, history = fit.train(config, tmp_path / "run")
    plain, _ = fit.train(dataclasses.replace(config, average_weights=None), tmp_path / "plain")
    # The checkpoint has both: the weights, as without averaging, and the averages.
    again = fit.task_of(config).build_model()
    again.compile(fit.optimizer(config, 6), "mse")
    checkpoints.restore(again, tmp_path / "run" / "checkpoints")
    for one, other in zip(again.weights, plain.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    averages = again.optimizer.averages
    # The returned model and the saved one have the averages.
    saved = keras.models.load_model(tmp_path / "run" / "last.keras", compile=False)
    for returned, from_file, average, weight in zip(
        model.trainable_variables,
        saved.trainable_variables,
        averages,
        again.trainable_variables,
        strict=True,
    ):
        np.testing.assert_array_equal(returned, average)
        np.testing.assert_array_equal(from_file, average)
        if len(weight.shape) == 4:
            assert np.abs(weight.numpy() - average.numpy()).max() > 0
    split = cifar.read_split()
    predicted = saved.classify(split.images).argmax(-1)
    assert history["val_accuracy"][-1] == pytest.approx((predicted == split.labels).mean())


def test_gradient_is_clipped_to_the_global_norm(small_cifar):
    config = CIFAR10EncNet16k64d(clip_norm=0.1, learning_rate=1.0, momentum=0.0, l2=0.0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    optimizer = fit.optimizer(config, steps=10)
    before = np.concatenate([w.numpy().ravel() for w in model.weights])
    optimizer.apply([np.full(w.shape, 100.0, "float32") for w in model.weights], model.weights)
    after = np.concatenate([w.numpy().ravel() for w in model.weights])
    assert np.linalg.norm(after - before) == pytest.approx(0.1, rel=1e-4)


@pytest.mark.slow
def test_loss_that_is_not_finite_stops_training_and_names_step_and_output(data, tmp_path):
    options = {
        **SMALL_ENCNET,
        "epochs": 2,
        "warmup_steps": 0,
        "checkpoint_every": 1,
        "learning_rate": 1e30,
    }
    with pytest.raises(FloatingPointError) as stop:
        fit.train(ScenesEncNet(data=data, **options), tmp_path)
    message = str(stop.value)
    assert "not finite at step 2: " in message
    assert "segmentation_loss is " in message
    assert "The last good checkpoint is from step 1." in message
    assert "--learning-rate" in message
    (path,) = checkpoints.checkpoints(tmp_path / "checkpoints")
    with np.load(path) as checkpoint:
        assert all(np.isfinite(checkpoint[n]).all() for n in checkpoint.files if n != "progress")
        assert json.loads(str(checkpoint["progress"]))["step"] == 1
    assert not (tmp_path / "last.keras").exists()


@pytest.mark.slow
def test_exploding_loss_stops_training_with_the_same_advice(data, tmp_path):
    options = {**SMALL_FCN, "epochs": 2, "warmup_steps": 0, "learning_rate": 1e4}
    with pytest.raises(FloatingPointError, match=r"has grown from .* at step 2.*--learning-rate"):
        fit.train(ScenesFCN(data=data, **options), tmp_path)


def test_epoch_with_a_loss_above_the_first_warns(tmp_path, capsys):
    stop = callbacks.StopDiverged(tmp_path, checkpoints.State())
    for loss in (2.0, 5.0):
        stop.on_train_batch_end(0, {"loss": loss})
    stop.on_epoch_end(0, {"loss": 5.0})
    assert "epoch 1, 5, is well above the first, 2: the training may diverge" in (
        capsys.readouterr().err
    )
    stop.on_epoch_end(1, {"loss": 3.9})
    assert not capsys.readouterr().err


def _damage_ids(root):
    mask = np.array(Image.open(root / "labels" / "train_00002.png"))
    mask[0, 0] = 77
    Image.fromarray(mask).save(root / "labels" / "train_00002.png")


def _damage_missing(root):
    (root / "labels" / "train_00002.png").unlink()


def _damage_truncated(root):
    path = root / "images" / "train_00002.png"
    Image.open(path).save(path.with_suffix(".jpg"))
    path.unlink()
    complete = path.with_suffix(".jpg").read_bytes()
    path.with_suffix(".jpg").write_bytes(complete[: len(complete) // 2])


def _damage_size(root):
    Image.new("L", (5, 5)).save(root / "labels" / "train_00002.png")


def _damage_labels(root):
    for path in (root / "labels").glob("train_*"):
        Image.fromarray((np.array(Image.open(path)) > 0) * np.uint8(255)).save(path)


def _damage_orientation(root):
    path = root / "images" / "train_00002.png"
    image = Image.open(path)
    exif = image.getexif()
    exif[ExifTags.Base.Orientation] = 6
    image.save(path, exif=exif)


def _damage_all(root):
    for path in root.rglob("*"):
        if path.is_file():
            path.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_damage_ids, "77"),
        (_damage_missing, "train_00002"),
        (_damage_truncated, "train_00002"),
        (_damage_size, "train_00002"),
        (_damage_labels, "--map-labels 255:1"),
        (_damage_orientation, "train_00002: the image has the EXIF orientation 6"),
        (_damage_all, "classes.txt"),
    ],
)
def test_bad_data_raises_before_the_first_step(damage, message, tmp_path):
    root = scenes.write(tmp_path / "scenes", train=4, val=1, test=1)
    damage(root)
    with pytest.raises((ValueError, OSError), match=message):
        fit.train(ScenesFCN(data=str(root), **SMALL_FCN), tmp_path / "run")
    assert not (tmp_path / "run").exists()  # the same command works after a fix


def test_classes_that_cannot_be_learned_stop_training(tmp_path):
    root = scenes.write(tmp_path / "scenes", train=4, val=1, test=1)
    with (root / "classes.txt").open("a") as classes:
        classes.write("unicorn\n")
    config = ScenesFCN(data=str(root), **{**SMALL_FCN, "allow_absent_classes": False})
    with pytest.raises(ValueError, match="cannot be learned: unicorn.*--allow-absent-classes"):
        fit.train(config, tmp_path / "run")


@pytest.mark.slow
def test_a_file_that_breaks_during_training_is_named(tmp_path, monkeypatch):
    root = scenes.write(tmp_path / "scenes", train=4, val=1, test=1)
    restored_state = fit.restored_state

    def damage(*arguments):
        path = root / "labels" / "train_00002.png"
        path.write_bytes(path.read_bytes()[:-10])
        return restored_state(*arguments)

    monkeypatch.setattr(fit, "restored_state", damage)
    config = ScenesFCN(data=str(root), **{**SMALL_FCN, "epochs": 2})
    with pytest.raises(ValueError, match=r"train_00002: the mask cannot be read: .*corrupt"):
        fit.train(config, tmp_path / "run")


@pytest.mark.parametrize(
    "option", [{"crop_size": (0, 5)}, {"scale": (2.0, 0.5)}, {"class_weights": (1.0, 2.0)}]
)
def test_invalid_option_leaves_no_run_folder(option, tmp_path):
    data = scenes.write(tmp_path / "scenes", train=8, val=1, test=1)
    with pytest.raises(ValueError, match=next(iter(option))):
        fit.train(ScenesFCN(data=str(data), **SMALL_FCN, **option), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_bad_images_can_be_skipped(tmp_path, capsys):
    root = scenes.write(tmp_path / "scenes", train=5, val=1, test=1)
    _damage_ids(root)
    config = ScenesFCN(data=str(root), skip_bad=True, **SMALL_FCN)
    split, _ = splits.checked(config, read_split(root, "train"))
    assert len(split) == 4
    assert "train_00002" in capsys.readouterr().err


def test_head_multiplier_applies_to_the_head_only():
    config = ScenesEncNet(head_multiplier=10.0, **SMALL_ENCNET)
    model = segmentation.build_model(config, ["a", "b"])
    multipliers = dict.fromkeys(model.head_layers, config.head_multiplier)
    optimizer = fit.optimizer(config, steps=10, multipliers=multipliers)
    assert "conv1_conv" not in optimizer.multipliers
    assert optimizer.multipliers["segmentation_logits"] == 10.0
    assert optimizer.multipliers["context_encoding"] == 10.0
