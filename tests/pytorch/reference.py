"""The published networks at inference as a few PyTorch functions."""

import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional

# Per output stride and stage: stride, dilation of the first block, dilation of the others.
STAGES = {
    8: [(1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)],
    16: [(1, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 2)],
    32: [(1, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 1)],
}


class Reference:
    """Runs the network of a state dict of arrays on an image `(height, width, 3)`.

    Names are those of the official code, and `variant` selects whose rules apply: `"official"` or
    `"mmsegmentation"`.
    """

    def __init__(self, state, image, prefix="", stride=8, variant="official"):
        self.state = {name: torch.from_numpy(array) for name, array in state.items()}
        self.prefix, self.variant = prefix, variant
        self.has_neck = "jpu.conv5.0.weight" in state
        self.stride = 32 if self.has_neck else stride
        self.image = torch.from_numpy(image).permute(2, 0, 1)[None]

    def conv(self, x, name, stride=1, dilation=1):
        kernel = self.state[f"{name}.weight"]
        padding = dilation * (kernel.shape[-1] // 2)
        groups = x.shape[1] // kernel.shape[1]
        bias = self.state.get(f"{name}.bias")
        return F.conv2d(x, kernel, bias, stride, padding, dilation, groups)

    def norm(self, x, name):
        leaves = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(self.state[f"{name}.{leaf}"] for leaf in leaves), eps=1e-5)

    def conv_norm(self, x, conv, norm, stride=1, dilation=1):
        return self.norm(self.conv(x, conv, stride, dilation), norm)

    def stem(self):
        p = self.prefix
        if f"{p}conv1.weight" in self.state:
            return F.relu(self.conv_norm(self.image, f"{p}conv1", f"{p}bn1", 2))
        layout = "stem" if f"{p}stem.0.weight" in self.state else "conv1"
        last = f"{p}stem.7" if layout == "stem" else f"{p}bn1"
        x = F.relu(self.conv_norm(self.image, f"{p}{layout}.0", f"{p}{layout}.1", 2))
        x = F.relu(self.conv_norm(x, f"{p}{layout}.3", f"{p}{layout}.4"))
        return F.relu(self.conv_norm(x, f"{p}{layout}.6", last))

    def block(self, x, name, stride, dilation, stage_dilation):
        shortcut = x
        if f"{name}.downsample.0.weight" in self.state:
            shortcut = self.conv_norm(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)
        if f"{name}.conv3.weight" in self.state:
            x = F.relu(self.conv_norm(x, f"{name}.conv1", f"{name}.bn1"))
            x = F.relu(self.conv_norm(x, f"{name}.conv2", f"{name}.bn2", stride, dilation))
            x = self.conv_norm(x, f"{name}.conv3", f"{name}.bn3")
        else:
            x = F.relu(self.conv_norm(x, f"{name}.conv1", f"{name}.bn1", stride, dilation))
            second = stage_dilation if self.variant == "official" else 1
            x = self.conv_norm(x, f"{name}.conv2", f"{name}.bn2", 1, second)
        return F.relu(x + shortcut)

    def stages(self):
        x = F.max_pool2d(self.stem(), 3, 2, 1)
        found = []
        # mmsegmentation dilates the strided backbone below its neck.
        dilated = self.has_neck and self.variant == "mmsegmentation"
        dilations = STAGES[8 if dilated else self.stride]
        for i, (stride, _, _) in enumerate(STAGES[self.stride], start=1):
            block, (_, first, others) = 0, dilations[i - 1]
            while f"{self.prefix}layer{i}.{block}.conv1.weight" in self.state:
                name = f"{self.prefix}layer{i}.{block}"
                x = self.block(x, name, *((1, others) if block else (stride, first)), others)
                block += 1
            found.append(x)
        return found

    def code(self, x, name):
        """Encodes features `(batch, channels, height, width)`: `(batch, codewords, channels)`."""
        residuals = x.flatten(2).mT[:, :, None] - self.state[f"{name}.codewords"]
        distances = residuals.square().sum(-1) * self.state[f"{name}.scale"]
        return (distances.softmax(-1)[..., None] * residuals).sum(1)

    def linear(self, x, name):
        return F.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def jpu(self, stages):
        """Returns the output of joint pyramid upsampling."""
        corners = self.variant == "official"
        x = [
            F.relu(self.conv_norm(c, f"jpu.conv{i}.0", f"jpu.conv{i}.1"))
            for i, c in enumerate(stages, start=3)
        ]
        x = [resized(each, x[0].shape[2:], corners) for each in x]
        x = torch.cat(x if self.variant == "mmsegmentation" else x[::-1], 1)
        found = []
        for i in range(4):
            name = f"jpu.dilation{i + 1}"
            y = self.norm(self.conv(x, f"{name}.0.conv1", dilation=2**i), f"{name}.0.bn")
            found.append(F.relu(self.conv_norm(y, f"{name}.0.pointwise", f"{name}.1")))
        return torch.cat(found, 1)

    def encnet(self, align_corners):
        """Returns upsampled logits, presence and upsampled auxiliary logits, official names."""
        _, c2, c3, c4 = self.stages()
        if self.has_neck:
            c4 = self.jpu((c2, c3, c4))

        def upsampled(x):
            return resized(x, self.image.shape[2:], align_corners)

        x = F.relu(self.conv_norm(c4, "head.conv5.0", "head.conv5.1"))
        if "head.fusion.0.weight" in self.state:
            joined = [x]
            for i, c in enumerate((c2, c3)):
                side = self.conv_norm(c, f"head.connect.{i}.0", f"head.connect.{i}.1")
                joined.append(F.relu(side))
            x = F.relu(self.conv_norm(torch.cat(joined, 1), "head.fusion.0", "head.fusion.1"))
        encoding = "head.encmodule.encoding"
        projected = F.relu(self.conv_norm(x, f"{encoding}.0", f"{encoding}.1"))
        code = self.code(projected, f"{encoding}.3")
        code = F.relu(self.norm(code, f"{encoding}.4")).mean(1)
        gates = self.linear(code, "head.encmodule.fc.0").sigmoid()[:, :, None, None]
        outputs = [upsampled(self.conv(F.relu(x + x * gates), "head.conv6.1"))]
        if "head.encmodule.selayer.weight" in self.state:
            outputs.append(self.linear(code, "head.encmodule.selayer"))
        if "auxlayer.conv5.0.weight" in self.state:
            x = F.relu(self.conv_norm(c3, "auxlayer.conv5.0", "auxlayer.conv5.1"))
            outputs.append(upsampled(self.conv(x, "auxlayer.conv5.4")))
        return [to_numpy(output) for output in outputs]

    def other_head(self, head, align_corners):
        """Returns logits and auxiliary logits before upsampling, official names."""
        _, c2, c3, x = self.stages()
        if self.has_neck:
            x = self.jpu((c2, c3, x))

        def resized(bins):
            return F.interpolate(bins, x.shape[2:], mode="bilinear", align_corners=align_corners)

        def unit(x, conv, norm, dilation=1):
            return F.relu(self.conv_norm(x, conv, norm, dilation=dilation))

        if head == "fcn":
            x, last = unit(x, "head.conv5.0", "head.conv5.1"), "head.conv5.4"
        elif head == "pspnet":
            levels = [
                unit(F.adaptive_avg_pool2d(x, bins), f"{name}.0", f"{name}.1")
                for i, bins in enumerate((1, 2, 3, 6), start=1)
                for name in [f"head.conv5.0.conv{i}"]
            ]
            x = torch.cat([x, *map(resized, levels)], 1)
            x, last = unit(x, "head.conv5.1", "head.conv5.2"), "head.conv5.5"
        else:
            branches = [
                unit(x, f"head.aspp.b{i}.0", f"head.aspp.b{i}.1", dilation)
                for i, dilation in enumerate((1, 12, 24, 36))
            ]
            pooled = F.adaptive_avg_pool2d(x, 1)
            branches.append(resized(unit(pooled, "head.aspp.b4.gap.1", "head.aspp.b4.gap.2")))
            x = unit(torch.cat(branches, 1), "head.aspp.project.0", "head.aspp.project.1")
            x, last = unit(x, "head.block.0", "head.block.1"), "head.block.4"
        auxiliary = unit(c3, "auxlayer.conv5.0", "auxlayer.conv5.1")
        outputs = self.conv(x, last), self.conv(auxiliary, "auxlayer.conv5.4")
        return [to_numpy(output) for output in outputs]

    def cifar(self):
        """Returns the logits of a CIFAR network."""
        x = F.relu(self.conv_norm(self.image, "model.0", "model.1"))
        for stage in (3, 4, 5):
            for block in (0, 1):
                name, stride = f"model.{stage}.{block}", 2 if stage > 3 and block == 0 else 1
                shortcut = x
                if f"{name}.residual_layer.weight" in self.state:
                    shortcut = self.conv(x, f"{name}.residual_layer", stride)
                if f"{name}.conv_block.0.weight" in self.state:
                    x = F.relu(self.norm(x, f"{name}.conv_block.0"))
                    x = self.conv_norm(x, f"{name}.conv_block.2", f"{name}.conv_block.3", stride)
                    x = self.conv(F.relu(x), f"{name}.conv_block.5") + shortcut
                else:
                    x = F.relu(self.conv_norm(x, f"{name}.conv1", f"{name}.bn1", stride))
                    x = self.conv_norm(x, f"{name}.conv2", f"{name}.bn2")
                    x = F.relu(self.gated(x, f"{name}.se.fc") + shortcut)
        return to_numpy(self.linear(F.relu(self.norm(x, "model.6")).mean((2, 3)), "model.10"))

    def gated(self, x, name):
        reduced = F.relu(self.conv_norm(x, f"{name}.0", f"{name}.1"))
        code = F.normalize(self.code(reduced, f"{name}.3").flatten(1), eps=1e-8)
        return x * self.linear(code, f"{name}.6").sigmoid()[:, :, None, None]


def resized(x, size, align_corners):
    return F.interpolate(x, size, mode="bilinear", align_corners=align_corners)


def to_numpy(x):
    return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).numpy()
