"""The scores are those of one confusion matrix over the whole dataset."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_encnet import SegmentationMetrics
from keras_encnet.metrics import presence_scores, reliability

CLASSES = 5


def confusion(truth, predicted, ignore_class):
    matrix = np.zeros((CLASSES, CLASSES), int)
    labeled = ~np.isin(truth, ignore_class)
    np.add.at(matrix, (truth[labeled], predicted[labeled]), 1)
    return matrix


def scores(matrix, absent_classes):
    """In float64; a class that does not occur is left out or counts as 0."""
    correct = np.diag(matrix)
    union = matrix.sum(0) + matrix.sum(1) - correct
    iou = [c / u if u else np.nan for c, u in zip(correct, union, strict=True)]
    f1 = [2 * c / (u + c) if u else np.nan for c, u in zip(correct, union, strict=True)]
    iou, f1 = (np.nan_to_num(x) if absent_classes == "zero" else np.array(x) for x in (iou, f1))
    accuracy, mean_iou = correct.sum() / matrix.sum(), np.nanmean(iou)
    return {
        "pixel_accuracy": accuracy,
        "mean_iou": mean_iou,
        "frequency_weighted_iou": np.nansum(matrix.sum(1) / matrix.sum() * iou),
        "mean_f1": np.nanmean(f1),
        "ade_score": (accuracy + mean_iou) / 2,
    }


def batches(rng, ignore_class, count=3):
    """Masks and class maps that agree partly; class 3 is in neither."""
    for _ in range(count):
        truth = rng.integers(0, CLASSES - 1, (2, 6, 7))
        truth[truth == 3] = 4
        predicted = np.where(rng.random(truth.shape) < 0.5, truth, rng.integers(0, 3, truth.shape))
        truth[:, 0] = ignore_class[0]
        truth[1, 4] = ignore_class[-1]
        yield truth, predicted


@pytest.mark.parametrize("ignore_class", [(255,), (-1,), (254, 255), (3, 65535)])
@pytest.mark.parametrize("absent_classes", ["exclude", "zero"])
def test_scores_accumulate_over_batches(rng, ignore_class, absent_classes):
    metric = SegmentationMetrics(CLASSES, ignore_class, absent_classes)
    matrix = np.zeros((CLASSES, CLASSES), int)
    for truth, predicted in batches(rng, ignore_class):
        metric.update_state(truth, predicted)
        matrix += confusion(truth, predicted, ignore_class)
    assert matrix[3].sum() == matrix[:, 3].sum() == 0
    np.testing.assert_array_equal(metric.confusion_matrix, matrix)
    result = metric.result()
    expected = scores(matrix, absent_classes)
    assert set(result) == set(expected)
    for name, value in expected.items():
        assert float(result[name]) == pytest.approx(value, rel=1e-6), name


def test_scores_per_class_count_pixels(rng):
    metric = SegmentationMetrics(CLASSES)
    truth, predicted = np.array([[0, 0, 0, 1, 1, 2]]), np.array([[0, 0, 1, 1, 3, 1]])
    metric.update_state(truth, predicted)
    for c in range(CLASSES):
        both = np.sum((truth == c) & (predicted == c))
        labeled, found = np.sum(truth == c), np.sum(predicted == c)
        expected = {"precision": found, "recall": labeled, "f1": (labeled + found) / 2}
        expected["iou"] = labeled + found - both
        for name, total in expected.items():
            score = getattr(metric, f"per_class_{name}")()[c]
            if not labeled + found:
                assert np.isnan(score), name
            else:  # class 2 is never predicted, class 3 never labeled
                assert score == (both / total if total else 0), name


def test_predicted_class_without_labels_has_an_iou_of_zero():
    metric = SegmentationMetrics(CLASSES)
    metric.update_state([[[0, 0]]], [[[0, 4]]])
    assert float(metric.result()["mean_iou"]) == pytest.approx((1 / 2 + 0) / 2)


def test_logits_and_class_maps_score_the_same(rng):
    from_logits, from_labels = SegmentationMetrics(CLASSES), SegmentationMetrics(CLASSES)
    truth = rng.integers(0, CLASSES, (2, 6, 7)).astype("uint8")
    logits = rng.normal(size=(2, 6, 7, CLASSES)).astype("float32")
    from_logits.update_state(truth, logits)
    from_labels.update_state(truth, logits.argmax(-1))
    np.testing.assert_array_equal(from_logits.confusion_matrix, from_labels.confusion_matrix)
    assert int(np.sum(from_logits.confusion_matrix)) == truth.size


def test_predictions_on_ignored_pixels_may_be_anything():
    metric = SegmentationMetrics(CLASSES)
    metric.update_state([[[255, 255, 1]]], [[[255, -7, 1]]])
    assert int(np.sum(metric.confusion_matrix)) == 1


@pytest.mark.parametrize(
    ("truth", "predicted"), [(CLASSES, 0), (-1, 0), (254, 0), (0, CLASSES), (1, -1), (1, 255)]
)
def test_id_out_of_range_raises_an_error(truth, predicted):
    metric = SegmentationMetrics(CLASSES)
    with pytest.raises(tf.errors.InvalidArgumentError, match="class ids from 0 to 4"):
        metric.update_state([[[truth, 0]]], [[[predicted, 0]]])
    assert np.sum(metric.confusion_matrix) == 0


def test_counts_are_exact_beyond_the_precision_of_float32():
    # 2 ** 24 + 1 is the first integer that float32 lacks; 2 ** 53 + 1 the first of float64.
    metric = SegmentationMetrics(CLASSES)
    matrix = np.full((CLASSES, CLASSES), 2**24)
    matrix[0, 0] = 2**53
    metric.confusion_matrix.assign(matrix)
    metric.update_state([[[0, 1, 2]]], [[[0, 1, 1]]])
    matrix[0, 0] += 1
    matrix[1, 1] += 1
    matrix[2, 1] += 1
    np.testing.assert_array_equal(metric.confusion_matrix, matrix)
    for name, value in scores(matrix, "exclude").items():
        assert float(metric.result()[name]) == pytest.approx(value, rel=1e-6)


def test_reset_state_clears_the_counts(rng):
    metric = SegmentationMetrics(CLASSES)
    for truth, predicted in batches(rng, (255,)):
        metric.reset_state()
        metric.update_state(truth, predicted)
    np.testing.assert_array_equal(metric.confusion_matrix, confusion(truth, predicted, (255,)))


@pytest.mark.parametrize("absent_classes", ["exclude", "zero"])
@pytest.mark.parametrize("update", [False, True])
def test_scores_are_zero_without_labeled_pixels(absent_classes, update):
    metric = SegmentationMetrics(CLASSES, absent_classes=absent_classes)
    if update:
        metric.update_state(np.full((1, 2, 2), 255), np.zeros((1, 2, 2), int))
    assert [float(value) for value in metric.result().values()] == [0, 0, 0, 0, 0]


def test_iou_per_class_is_nan_for_absent_classes(rng):
    metric = SegmentationMetrics(CLASSES)
    (truth, predicted), *_ = batches(rng, (255,))
    metric.update_state(truth, predicted)
    iou = metric.per_class_iou()
    matrix = confusion(truth, predicted, (255,))
    for label in (0, 1, 2, 4):
        union = matrix[label].sum() + matrix[:, label].sum() - matrix[label, label]
        assert iou[label] == matrix[label, label] / union
    assert np.isnan(iou[3])
    assert np.nanmean(iou) == pytest.approx(float(metric.result()["mean_iou"]), rel=1e-6)


def test_traced_update_counts_batches_of_any_size(rng):
    metric = SegmentationMetrics(CLASSES)
    spec = tf.TensorSpec((None, None, None), tf.uint8)
    update = tf.function(metric.update_state, input_signature=[spec, spec])
    matrix = np.zeros((CLASSES, CLASSES), int)
    for shape in ((1, 2, 3), (4, 5, 6)):
        truth, predicted = rng.integers(0, CLASSES, (2, *shape)).astype("uint8")
        update(truth, predicted)
        matrix += confusion(truth, predicted, ())
    np.testing.assert_array_equal(metric.confusion_matrix, matrix)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"ignore_class": (-1, 255), "absent_classes": "zero", "name": "mine", "dtype": "float64"}],
)
def test_config_round_trip(arguments):
    metric = SegmentationMetrics(CLASSES, **arguments)
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert type(again) is SegmentationMetrics
    assert again.get_config() == metric.get_config()
    assert (again.classes, again.ignore_class, again.absent_classes) == (
        CLASSES,
        metric.ignore_class,
        metric.absent_classes,
    )


def test_weights_raise_an_error():
    metric = SegmentationMetrics(CLASSES)
    with pytest.raises(
        ValueError, match=r"does not support weights.*sample_weight of shape \(1,\)"
    ):
        metric.update_state([[[0]]], [[[0]]], sample_weight=np.ones(1))
    assert not np.any(metric.confusion_matrix)


def test_unknown_absent_classes_raises_an_error():
    with pytest.raises(ValueError, match="Received: absent_classes='nan'"):
        SegmentationMetrics(CLASSES, absent_classes="nan")


@pytest.mark.parametrize("absent_classes", ["exclude", "zero"])
def test_background_counts_as_one_more_class(rng, absent_classes):
    truth = rng.integers(0, 59, (2, 30, 40))
    predicted = np.where(rng.random(truth.shape) < 0.5, truth, rng.integers(0, 59, truth.shape))
    metric = SegmentationMetrics(59, absent_classes=absent_classes)
    metric.update_state(truth, predicted)
    expected = float(metric.result()["mean_iou"]) * 59 / 60
    assert metric.mean_iou_with_background() == pytest.approx(expected, rel=1e-6)


def test_presence_scores_match_values_computed_by_hand():
    presence = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 0]], bool)
    logits = np.array([[3.0, -2.0, 0.0], [1.0, 4.0, 0.0], [2.0, -3.0, 0.0], [-1.0, 1.0, 0.0]])
    scores = presence_scores(presence, logits)
    # Class 0 ranks its images 1st and 3rd; class 1 1st, 2nd and 4th; no image shows class 2.
    assert scores["average_precision"] == pytest.approx(((1 + 2 / 3) / 2 + (2 + 3 / 4) / 3) / 2)
    expected = keras.losses.BinaryCrossentropy(from_logits=True)(presence.astype(float), logits)
    assert scores["se_loss"] == pytest.approx(float(expected), rel=1e-6)
    rates = np.broadcast_to([0.5, 0.75, 1e-12], presence.shape)
    base = presence_scores(presence, np.log(rates / (1 - rates)))
    assert scores["base_rate_loss"] == pytest.approx(base["se_loss"], rel=1e-6)


def test_average_precision_of_a_constant_is_the_base_rate_in_any_order(rng):
    presence = rng.random((40, CLASSES)) < 0.3
    for order in (np.argsort(presence, 0), np.argsort(~presence, 0)):
        scores = presence_scores(np.take_along_axis(presence, order, 0), np.zeros(presence.shape))
        assert scores["average_precision"] == pytest.approx(presence.mean())


def test_no_constant_prediction_beats_the_base_rates(rng):
    presence = rng.random((40, CLASSES)) < 0.3
    for bias in rng.normal(scale=2, size=(20, CLASSES)):
        scores = presence_scores(presence, np.broadcast_to(bias, presence.shape))
        assert scores["se_loss"] >= scores["base_rate_loss"]


def test_presence_scores_are_finite_for_large_logits():
    scores = presence_scores([[True, False]], [[-1e4, 1e4]])
    assert scores["se_loss"] == pytest.approx(1e4)
    assert np.isnan(presence_scores([[False, False]], [[0.0, 0.0]])["average_precision"])


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_reliability_matches_bins_counted_one_by_one(bins, rng):
    presence, logits = rng.random((50, CLASSES)) < 0.3, rng.normal(scale=3, size=(50, CLASSES))
    logits[0] = (0, 1e4, -1e4, 0, 0)
    found = reliability(presence, logits, bins)
    probabilities = keras.ops.convert_to_numpy(keras.ops.sigmoid(logits.astype("float64")))
    expected = []
    for low in range(bins):
        upper = probabilities < (low + 1) / bins if low + 1 < bins else probabilities <= 1
        inside = (probabilities >= low / bins) & upper
        if inside.any():
            row = probabilities[inside].mean(), presence[inside].mean(), inside.sum()
            expected.append(row)
    np.testing.assert_allclose(np.transpose(list(found.values())), expected, rtol=1e-6)
    error = sum(n * abs(p - f) for p, f, n in expected) / presence.size
    if bins == 10:
        assert presence_scores(presence, logits)["calibration_error"] == pytest.approx(error)


def test_calibrated_probabilities_have_a_small_calibration_error(rng):
    logits = rng.normal(scale=2, size=(20_000, 2))
    presence = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
    assert presence_scores(presence, logits)["calibration_error"] < 0.01
    assert presence_scores(presence, 3 * logits)["calibration_error"] > 0.1
