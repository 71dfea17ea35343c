"""The words by which folders and files say what they hold."""

import re
import unicodedata

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
# Words that name a kind of file and not an image.
IMAGE_WORDS = frozenset(
    "image images img imgs jpegimages pngimages photo photos picture pictures rgb input inputs "
    "original originals leftimg leftimg8bit frames".split()
)
MASK_WORDS = frozenset(
    "mask masks label labels labeled annotation annotations annot annots annotated ann anns gt gts "
    "groundtruth manual "
    "truth ground seg segm segmentation segmentations segmentationclass segmap target targets "
    "gtfine gtcoarse labelids labeltrainids semantic polygons".split()
)
# Masks of instances, and pictures of masks.
OTHER_WORDS = frozenset(
    "segmentationobject instance instances instanceids panoptic colormap colormaps visualization "
    "segmentationclassvisualization".split()
)


def words(text: str) -> list[str]:
    """Splits a name into words and numbers, in lower case.

    >>> words("train_masks/IMG-0012 (copy)")
    ['train', 'masks', 'img', '0012', 'copy']
    >>> words("trainannot/leftImg8bit")
    ['train', 'annot', 'leftimg8bit']
    >>> words("LabeledApproved")
    ['labeled', 'approved']
    """
    found = []
    for word in re.findall(r"[^\W_]+", unicodedata.normalize("NFC", text)):
        if word.casefold() in IMAGE_WORDS | MASK_WORDS | OTHER_WORDS:
            found.append(word.casefold())
            continue
        spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", word).casefold()
        for part in re.findall(r"[^\W\d_]+|\d+", spaced):
            rest = next((part.removeprefix(s) for s in SPLITS if part.startswith(s)), part)
            compound = rest != part and rest in IMAGE_WORDS | MASK_WORDS
            found += [part.removesuffix(rest), rest] if compound else [part]
    return found
