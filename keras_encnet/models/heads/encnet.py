"""EncNet: the Context Encoding Module on a dilated ResNet."""

from keras import initializers, layers

from keras_encnet.layers import BatchNormalization, Encoding, FeatureMapAttention
from keras_encnet.models.heads.blocks import classify, conv_norm_relu, fcn_head
from keras_encnet.models.segmentation_model import SegmentationModel
from keras_encnet.models.structure import variant_parts
from keras_encnet.utils.checks import check_classes, check_count, check_one_size, check_stages
from keras_encnet.utils.numerics import at_least_float32


def EncNet(
    backbone,
    classes=21,
    weights=None,
    variant="keras_encnet",
    num_codewords=32,
    channels=512,
    aggregation=None,
    codeword_pooling=None,
    gating=None,
    gate_bias=None,
    auxiliary=None,
    lateral=None,
    align_corners=None,
    dropout=None,
    outputs=None,
    preprocessing="torch",
    name="encnet",
):
    """Builds EncNet on any backbone.

    Example:

    >>> from keras_encnet.backbones import ResNet18
    >>> model = EncNet(ResNet18(), classes=21, channels=128)
    >>> sorted(model.output)
    ['presence', 'presence_stage3', 'segmentation']

    Args:
        backbone: a model from images to a dict of features, `stage1` to
            `stage4`, such as those of `keras_encnet.backbones`.
        classes: number of classes, at least 2; void isn't one.
        weights: None, or the path of a `.weights.h5` file of the whole model
            with all the outputs of its variant, as `save_weights` wrote it.
        variant: `"keras_encnet"`, the paper's structure with averages inside
            of Encoding, which trains better; `"paper"`; `"official"`
            (PyTorch-Encoding) or `"mmsegmentation"`: what the arguments below
            are where they are not given.
        num_codewords: codewords of each Encoding layer; 0 puts global average
            pooling in its place (the paper's ablation).
        channels: width of the head.
        aggregation: `"sum"` or `"mean"`, over pixels in the codes and over
            channels in the distances, see `Encoding`.
        codeword_pooling: how the codes of all codewords become one: `"sum"` (the paper)
            or `"mean"` (both implementations).
        gating: `"scale"`, x * g, or `"residual"`, relu(x + x * g).
        gate_bias: what the gates' bias starts from: 0 half open, as published;
            2 nearly open, 0.88.
        auxiliary: what stage 3 predicts in training: `"context"`, the classes
            present, by a Context Encoding Module of its own (output
            `presence_stage3`); `"fcn"`, the mask (`segmentation_stage3`);
            `"none"`, nothing.
        lateral: if true, stages 2 and 3 join the head's features. Needs
            stages of one size, so output stride 8.
        align_corners: how logits are upsampled, see `BilinearUpsampling`.
        dropout: rate before each classifier.
        outputs: names of the wanted outputs, all by default. The model
            computes no more than they need.
        preprocessing: mode of `preprocess_input` that the backbone expects.
        name: name of the model.

    Returns:
        A `SegmentationModel` from `(batch, height, width, channels)`,
        normalized, to a dict of float32 outputs: `segmentation`, logits
        `(batch, height, width, classes)`; `presence`, logits `(batch,
        classes)`; and the auxiliary's. The logits before upsampling are the
        layer `segmentation_logits`.

    Raises:
        ValueError: for an argument outside the above.

    References:
        - [Context Encoding for Semantic Segmentation](https://arxiv.org/abs/1803.08904), 3
        - The 1x1 projection before the Encoding layer is not in the paper's
          text; the released code has had it since June 2018.
    """
    check_classes(classes)
    parts = variant_parts(
        variant,
        auxiliary=auxiliary,
        aggregation=aggregation,
        codeword_pooling=codeword_pooling,
        gating=gating,
        gate_bias=gate_bias,
        lateral=lateral,
        align_corners=align_corners,
        dropout=dropout,
    )
    check_count("num_codewords", num_codewords, least=0)
    laterals = ("stage2",) if parts["lateral"] else ()
    check_stages(backbone, (*laterals, "stage3", "stage4"))
    images, stages = backbone.input, backbone.output
    classifier = {
        "classes": classes,
        "images": images,
        **{key: parts[key] for key in ("dropout", "spatial_dropout", "align_corners")},
    }

    x = conv_norm_relu(stages["stage4"], channels, 3, name="head")
    if parts["lateral"]:
        check_one_size(backbone, ("stage2", "stage3", "stage4"))
        x = _join_laterals(x, stages)
    encoding = num_codewords, parts["aggregation"], parts["codeword_pooling"]
    # A sum over codewords is large: from random kernels the first losses would be, too, and the
    # first gates open or closed by chance.
    start = "zeros" if num_codewords and parts["codeword_pooling"] == "sum" else "glorot_uniform"
    code = context_code(x, *encoding, name="context")
    bias = initializers.Constant(parts["gate_bias"])
    x = FeatureMapAttention(parts["gating"], start, bias, name="context_attention")(x, code)
    tensors = {
        "segmentation": classify(x, name="segmentation", **classifier),
        "presence": _presence(code, classes, start, name="presence"),
    }
    if parts["auxiliary"] == "context":
        x = conv_norm_relu(stages["stage3"], channels, 3, name="stage3_head")
        code = context_code(x, *encoding, name="stage3_context")
        tensors["presence_stage3"] = _presence(code, classes, start, name="presence_stage3")
    elif parts["auxiliary"] == "fcn":
        tensors["segmentation_stage3"] = fcn_head(
            stages["stage3"], name="segmentation_stage3", **classifier
        )
    model = SegmentationModel(
        images,
        tensors,
        name=name,
        preprocessing=preprocessing,
        backbone_layers=[layer.name for layer in backbone.layers],
    )
    if weights is not None:
        model.load_weights(weights)
    return model if outputs is None else model.with_outputs(outputs)


def context_code(x, num_codewords, aggregation, codeword_pooling, name):
    """The Context Encoding Module up to its code: `(batch, h, w, c)` to `(batch, c)`, float32."""
    dtype = at_least_float32()
    # A gate hangs on the difference of large sums: rounding their terms to float16 can flip it.
    x = conv_norm_relu(x, x.shape[-1], 1, name=f"{name}_projection", dtype=dtype)
    if num_codewords == 0:
        return layers.GlobalAveragePooling2D(dtype=dtype, name=f"{name}_pool")(x)
    code = Encoding(num_codewords, aggregation=aggregation, name=f"{name}_encoding")(x)
    # One mean and variance a codeword: the axis of codewords is the second.
    code = BatchNormalization(axis=1, momentum=0.9, epsilon=1e-5, dtype=dtype, name=f"{name}_bn")(
        code
    )
    code = layers.ReLU(dtype=dtype, name=f"{name}_relu")(code)
    code = layers.GlobalAveragePooling1D(dtype=dtype, name=f"{name}_mean")(code)
    if codeword_pooling == "sum":
        code = layers.Rescaling(float(num_codewords), dtype=dtype, name=f"{name}_sum")(code)
    return code


def _presence(code, classes, start, name):
    return layers.Dense(classes, kernel_initializer=start, dtype=at_least_float32(), name=name)(
        code
    )


def _join_laterals(x, stages):
    laterals = [
        conv_norm_relu(stages[stage], x.shape[-1], 1, name=f"lateral_{stage}")
        for stage in ("stage2", "stage3")
    ]
    x_all = layers.Concatenate(name="fusion_concat")([x, *laterals])
    return conv_norm_relu(x_all, x.shape[-1], 3, name="fusion")
