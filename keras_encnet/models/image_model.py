"""What the models of both tasks remember: the normalization of their images and the classes."""

from keras_encnet.models.scalable_model import ScalableModel
from keras_encnet.preprocessing import normalization_of


class ImageModel(ScalableModel):
    """A functional model from normalized images to something per class.

    It remembers which normalization its images want and what its classes are
    called. Subclasses say how many classes there are.

    Args:
        inputs: the input tensor, `(batch, height, width, channels)`.
        outputs: output tensor, or a dict of them.
        name: name of the model.
        preprocessing: mode of `keras_encnet.preprocess_input` for the images.
        class_names: one name per class, for whoever shows or serves the
            answers; may be set later.

    Raises:
        ValueError: for an unknown mode, or another number of names than of classes.
    """

    def __init__(self, inputs, outputs, name=None, *, preprocessing, class_names=None, **kwargs):
        normalization_of(preprocessing)  # an unknown mode is told before anything is trained
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)
        self.preprocessing = preprocessing
        self.class_names = class_names

    @property
    def classes(self):
        """Number of classes."""
        return self.output.shape[-1]

    @property
    def class_names(self):
        """One name per class, as a tuple; numbers as text unless set. Saved with the model."""
        return self._class_names or tuple(str(i) for i in range(self.classes))

    @class_names.setter
    def class_names(self, names):
        if names is not None and len(names) != self.classes:
            raise ValueError(
                f"`class_names` must hold one name for each of {self.classes} classes. "
                f"Received: {len(names)} names"
            )
        self._class_names = None if names is None else tuple(names)

    def get_config(self):
        return {
            **super().get_config(),
            "preprocessing": self.preprocessing,
            "class_names": None if self._class_names is None else list(self._class_names),
        }


def check_raw(images):
    """Raises ValueError unless `images` are raw RGB images, an array with values in 0 to 255."""
    if images.ndim not in (3, 4) or images.shape[-1] != 3 or 0 in images.shape:
        raise ValueError(
            "Expected RGB images, `(height, width, 3)` or `(batch, height, width, 3)`, or a list "
            f"of the former. Received: shape={images.shape}"
        )
    if images.dtype.kind not in "uif":
        raise ValueError(f"Images must be numbers. Received: dtype={images.dtype}")
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 255):
        raise ValueError(
            "Images must be raw, in 0 to 255: the model normalizes them itself. "
            f"Received: values from {low} to {high}"
        )
    if images.dtype.kind == "f" and 0 < high <= 1:
        raise ValueError(
            "Images must be raw, in 0 to 255, and these seem scaled to 0 to 1: multiply by 255. "
            f"Received: values from {low} to {high}"
        )
