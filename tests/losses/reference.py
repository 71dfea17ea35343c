"""The formulas of the papers, pixel by pixel in float64, and masks to try them on.

All functions take a mask `(batch, height, width)`, logits `(batch, height, width, classes)`, the
ignored labels, and a weight per class or None.
"""

import numpy as np

CLASSES = 4


def masks(rng, ignore_class, dtype="int32"):
    """Three masks: fully labeled, partly ignored with fewer classes, and fully ignored."""
    labels = rng.integers(0, CLASSES, (3, 5, 6))
    labels[1] = np.minimum(labels[1], 1)
    labels[1, :3] = ignore_class[0]
    labels[1, 4] = ignore_class[-1]
    labels[2] = ignore_class[-1]
    return labels.astype(dtype)


def logits_of(rng, *shape):
    return (3 * rng.normal(size=(*shape, CLASSES))).astype("float32")


def softmax(scores):
    scores = np.exp(scores.astype("float64"))
    return scores / scores.sum(-1, keepdims=True)


def labeled_pixels(mask, logits, ignore_class):
    """Returns the labels and probabilities of the labeled pixels of one image."""
    labeled = ~np.isin(mask, ignore_class)
    return mask[labeled].astype(int), softmax(logits[labeled])


def mean_over_pixels(loss_of_pixel):
    """Returns the mean of a loss of one label and its probabilities, over all labeled pixels."""

    def loss(mask, logits, ignore_class, class_weights=None):
        terms, weights = [], []
        for labels, probabilities in zip(*labeled_pixels(mask, logits, ignore_class), strict=True):
            weights.append(1 if class_weights is None else class_weights[labels])
            terms.append(weights[-1] * loss_of_pixel(labels, probabilities))
        return sum(terms) / sum(weights) if terms else 0.0

    return loss


def mean_over_images(loss_of_class):
    """Returns the mean over images of the mean over their classes.

    `loss_of_class` takes booleans, which pixels have the class, and their probabilities of it.
    """

    def loss(mask, logits, ignore_class, class_weights=None):
        of_images = []
        for one in zip(mask, logits, strict=True):
            labels, probabilities = labeled_pixels(*one, ignore_class)
            present = np.unique(labels)
            weights = np.ones(CLASSES) if class_weights is None else np.array(class_weights)
            losses = [loss_of_class(labels == c, probabilities[:, c]) for c in present]
            if weights[present].sum():
                of_images.append(np.average(losses, weights=weights[present]))
        return np.mean(of_images) if of_images else 0.0

    return loss


cross_entropy = mean_over_pixels(lambda label, p: -np.log(p[label]))


def smoothed(smoothing):
    """Szegedy et al., section 7: the cross-entropy of the smoothed distribution of the label."""

    def loss_of_pixel(label, p):
        target = smoothing / CLASSES + (1 - smoothing) * np.eye(CLASSES)[label]
        return -np.sum(target * np.log(p))

    return mean_over_pixels(loss_of_pixel)


def focal(gamma):
    """Lin et al., equation 4."""
    return mean_over_pixels(lambda label, p: -((1 - p[label]) ** gamma) * np.log(p[label]))


def ohem(threshold, min_kept):
    """The mean over pixels below the threshold, or over the hardest of an image."""

    def loss(mask, logits, ignore_class, class_weights=None):
        hard = np.full(mask.shape, ignore_class[0], "int64")
        for image, one in enumerate(mask):
            pixels = np.argwhere(~np.isin(one, ignore_class))
            probability = [softmax(logits[image][tuple(i)])[one[tuple(i)]] for i in pixels]
            count = min_kept
            if isinstance(min_kept, float):
                count = int(np.round(min_kept * len(pixels)))
            for rank, i in enumerate(np.argsort(probability)):
                if rank < count or probability[i] < threshold:
                    hard[(image, *pixels[i])] = one[tuple(pixels[i])]
        return cross_entropy(hard, logits, ignore_class, class_weights)

    return loss


@mean_over_images
def dice(truth, p):
    """Milletari et al., section 3."""
    return 1 - 2 * np.sum(p * truth) / (np.sum(p**2) + np.sum(truth**2))


@mean_over_images
def lovasz_softmax(truth, p):
    """Berman et al., definition 1 and equations 5 and 8: the set function itself."""
    errors = np.where(truth, 1 - p, p)
    class_pixels = set(np.flatnonzero(truth))

    def jaccard_loss(wrong):  # equation 5
        return len(wrong) / len(class_pixels | wrong)

    total, wrong = 0.0, set()
    for pixel in np.argsort(-errors, kind="stable"):
        more = wrong | {pixel}
        total += errors[pixel] * (jaccard_loss(more) - (jaccard_loss(wrong) if wrong else 0))
        wrong = more
    return total


def presence_loss(mask, logits, ignore_class, class_weights=None):
    """Image by image, from histograms; logits `(batch, classes)`."""
    losses = []
    for labels, scores in zip(mask, logits.astype("float64"), strict=True):
        labels = labels[~np.isin(labels, ignore_class)]
        if len(labels):
            present = np.bincount(labels, minlength=CLASSES) > 0
            probability = 1 / (1 + np.exp(-scores))
            entropy = -np.where(present, np.log(probability), np.log(1 - probability))
            losses.append(np.mean(entropy * (1 if class_weights is None else class_weights)))
    return np.mean(losses) if losses else 0.0
