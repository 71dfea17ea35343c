"""Reference implementations of both protocols in float64, one window after the other."""

import math

import numpy as np

BLACK = (0.0, 0.0, 0.0)


def predict(model, window):
    """Returns the logits of one window in float64."""
    return np.asarray(model(window[None].astype("float32"), training=False)[0], "float64")


def resize(pixels, size, align_corners):
    for axis in (0, 1):
        old, new = pixels.shape[axis], size[axis]
        if align_corners:
            places = np.arange(new) * (old - 1) / max(new - 1, 1)
        else:
            places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = places.astype(int)
        share = (places - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        high = np.minimum(low + 1, old - 1)
        pixels = pixels.take(low, axis) * (1 - share) + pixels.take(high, axis) * share
    return pixels


def pad(image, height, width, black):
    missing = [
        max(length - side, 0) for length, side in zip((height, width), image.shape[:2], strict=True)
    ]
    return np.stack(
        [
            np.pad(image[..., c], [(0, n) for n in missing], constant_values=black[c])
            for c in range(3)
        ],
        axis=-1,
    )


def official(model, image, base_size, crop_size, scales, flip=True, black=BLACK):
    """Returns the scores of the official code."""

    def scores_of(window):
        logits = predict(model, window)
        if flip:
            logits = logits + predict(model, window[:, ::-1])[:, ::-1]
        return np.exp(logits)

    h, w = image.shape[:2]
    total = 0
    for scale in scales:
        long = math.ceil(base_size * scale)
        if h > w:
            height, width = long, int(w * long / h + 0.5)
        else:
            height, width = int(h * long / w + 0.5), long
        scaled = resize(image.astype("float64"), (height, width), align_corners=True)
        padded = pad(scaled, crop_size, crop_size, black)
        if long <= crop_size:
            scores = scores_of(padded)
        else:
            stride = int(crop_size * 2 / 3)
            ph, pw = padded.shape[:2]
            scores, count = 0, np.zeros((ph, pw, 1))
            for i in range(math.ceil((ph - crop_size) / stride) + 1):
                for j in range(math.ceil((pw - crop_size) / stride) + 1):
                    top, left = i * stride, j * stride
                    bottom, right = min(top + crop_size, ph), min(left + crop_size, pw)
                    window = pad(padded[top:bottom, left:right], crop_size, crop_size, black)
                    part = scores_of(window)[: bottom - top, : right - left]
                    around = [(top, ph - bottom), (left, pw - right), (0, 0)]
                    scores = scores + np.pad(part, around)
                    count[top:bottom, left:right] += 1
            scores = scores / count
        total = total + resize(scores[:height, :width], (h, w), align_corners=True)
    return total


def mmsegmentation(model, image, sizes, crop=None, stride=None, flip=True, align_corners=False):
    """Returns the mean softmax over images of `sizes` and their mirror images."""

    def logits_of(scaled):
        if crop is None:
            return predict(model, scaled)
        h, w = scaled.shape[:2]
        total, count = 0, np.zeros((h, w, 1))
        for i in range(max(h - crop + stride - 1, 0) // stride + 1):
            for j in range(max(w - crop + stride - 1, 0) // stride + 1):
                bottom, right = min(i * stride + crop, h), min(j * stride + crop, w)
                top, left = max(bottom - crop, 0), max(right - crop, 0)
                part = predict(model, scaled[top:bottom, left:right])
                total = total + np.pad(part, [(top, h - bottom), (left, w - right), (0, 0)])
                count[top:bottom, left:right] += 1
        return total / count

    views = []
    for size in sizes:
        scaled = resize(image.astype("float64"), size, align_corners=False)
        for step in (1, -1)[: 1 + flip]:
            logits = resize(logits_of(scaled[:, ::step]), image.shape[:2], align_corners)
            odds = np.exp(logits[:, ::step])
            views.append(odds / odds.sum(-1, keepdims=True))
    return np.mean(views, 0)
