"""The convert command writes `.keras` files atomically and reproducibly."""

import keras
import numpy as np
import pytest

import keras_encnet
from keras_encnet.pytorch.convert import main, save_reproducibly
from tests import procedural
from tests.pytorch import published

SHAPES = published.official(
    blocks=(1, 1, 1, 1), bottleneck=False, channels=8, codewords=4, classes=5
)


@pytest.fixture(scope="module")
def tensors():
    return procedural.weights(SHAPES)


@pytest.fixture
def checkpoint(tmp_path, tensors):
    torch = pytest.importorskip("torch")
    path = tmp_path / "checkpoint.pth.tar"
    state = {name: torch.from_numpy(array) for name, array in tensors.items()}
    torch.save({"state_dict": state, "best_pred": np.float64(0.4)}, path)
    return path


@pytest.mark.parametrize("classes", [None, 7])
@pytest.mark.filterwarnings("ignore:The checkpoint has 5 classes")
def test_converting_twice_gives_identical_files(tmp_path, checkpoint, capsys, classes):
    options = [] if classes is None else ["--classes", str(classes)]
    first, second = tmp_path / "first.keras", tmp_path / "second.keras"
    main([str(checkpoint), str(first), *options])
    # Different counters of names and another seed; the second file is overwritten.
    keras.layers.Dense(3)
    keras.utils.set_random_seed(5)
    second.write_text("old")
    main([str(checkpoint), str(second), *options])
    assert first.read_bytes() == second.read_bytes()
    assert f"{second}: encnet" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("checkpoint.pth.tar", "first.keras", "second.keras")
    ]


def test_converted_file_has_the_same_outputs(tmp_path, checkpoint, tensors):
    options = ["--no-align-corners", "--working-size", "64", "48"]
    main([str(checkpoint), str(tmp_path / "model.keras"), *options])
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, keras_encnet.SegmentationModel)
    assert loaded.working_size == (64, 48)
    image = procedural.image("converted", 40, 56)[None]
    expected = keras_encnet.from_pytorch(tensors, align_corners=False)(image)
    for name, output in loaded(image).items():
        np.testing.assert_array_equal(output, expected[name])


@pytest.mark.parametrize("options", [[], ["--stochastic-scale"]])
def test_cifar_checkpoint_is_converted(tmp_path, capsys, options):
    torch = pytest.importorskip("torch")
    state = procedural.weights(published.cifar(4, 3))
    saved = {name: torch.from_numpy(array) for name, array in state.items()}
    torch.save({"state_dict": saved}, tmp_path / "encnet_cifar.pth.tar")
    first, second = (tmp_path / name for name in ("first.keras", "second.keras"))
    for path in (first, second):
        main([str(tmp_path / "encnet_cifar.pth.tar"), str(path), *options])
    assert first.read_bytes() == second.read_bytes()
    assert "encnet14, 1" in capsys.readouterr().out
    loaded = keras.models.load_model(first)
    encoding = loaded.get_layer("stage1_block1_gate_encoding")
    assert encoding.stochastic_scale == bool(options)
    image = procedural.image("converted", 32, 32)[None]
    expected = keras_encnet.from_pytorch(state, stochastic_scale=bool(options))(image)
    np.testing.assert_array_equal(loaded(image), expected)


def test_missing_folder_is_created(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    save_reproducibly(model, tmp_path / "new" / "folder" / "model.keras")
    assert keras.models.load_model(tmp_path / "new" / "folder" / "model.keras").count_params() == 3


def test_saved_model_has_no_dates_or_addresses(tmp_path):
    paths = [tmp_path / "0.keras", tmp_path / "1.keras"]
    policies = []  # kept alive so that their addresses differ
    for path in paths:
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(0)
        # Keras stores the address of an object that layers share.
        policy = keras.DTypePolicy("mixed_bfloat16")
        policies.append(policy)
        inputs = x = keras.Input((4,), name="x")
        for name in ("a", "b"):
            x = keras.layers.Dense(3, dtype=policy, name=name)(x)
        save_reproducibly(keras.Model(inputs, x, name="model"), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    a, b = keras.models.load_model(paths[0]).layers[1:]
    assert a.dtype_policy == b.dtype_policy == policies[0]


@pytest.mark.parametrize(
    ("name", "message"), [("none.pth", "none.pth"), ("text.pth", "Could not read.*text.pth")]
)
def test_error_is_one_line_and_leaves_no_file(tmp_path, name, message):
    pytest.importorskip("torch")
    (tmp_path / "text.pth").write_text("no checkpoint")
    with pytest.raises(SystemExit, match=f"error: .*{message}"):
        main([str(tmp_path / name), str(tmp_path / "model.keras")])
    assert [path.name for path in tmp_path.iterdir()] == ["text.pth"]


def test_wrong_suffix_is_reported_before_reading(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path / "none.pth"), str(tmp_path / "model.h5")])
    assert "must end in .keras" in capsys.readouterr().err
