"""The networks of the benchmark in plain Flax, as one would write them without jaxcnn."""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax

conv = functools.partial(nn.Conv, use_bias=False)


def norm(train: bool) -> Any:
    return nn.BatchNorm(use_running_average=not train, momentum=0.9)


class ResNet(nn.Module):
    """Basic blocks (expansion 1) or bottlenecks (expansion 4), with groups and width as in ResNeXt."""

    num_classes: int
    stages: Sequence[int] = (2, 2, 2, 2)
    expansion: int = 1
    groups: int = 1
    width: int = 1
    cifar: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        if self.cifar:
            x = nn.relu(norm(train)(conv(64, (3, 3))(x)))
        else:
            x = nn.relu(norm(train)(conv(64, (7, 7), 2, padding=3)(x)))
            x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for stage, blocks in enumerate(self.stages):
            for block in range(blocks):
                features, strides = 64 * 2**stage, 2 if stage > 0 and block == 0 else 1
                if self.expansion == 1:
                    y = nn.relu(norm(train)(conv(features, (3, 3), strides, padding=1)(x)))
                    y = norm(train)(conv(features, (3, 3), padding=1)(y))
                else:
                    inner = features * self.width
                    y = nn.relu(norm(train)(conv(inner, (1, 1))(x)))
                    grouped = conv(inner, (3, 3), strides, padding=1, feature_group_count=self.groups)
                    y = nn.relu(norm(train)(grouped(y)))
                    y = norm(train)(conv(features * self.expansion, (1, 1))(y))
                if x.shape != y.shape:
                    x = norm(train)(conv(y.shape[-1], (1, 1), strides)(x))
                x = nn.relu(x + y)
        return nn.Dense(self.num_classes)(x.mean((1, 2)))


class MobileNetV2(nn.Module):
    num_classes: int
    setting: Sequence[Sequence[int]]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = nn.relu6(norm(train)(conv(32, (3, 3), 2, padding=1)(x)))
        for expansion, features, blocks, strides in self.setting:
            for block in range(blocks):
                y, inner = x, x.shape[-1] * expansion
                if expansion != 1:
                    y = nn.relu6(norm(train)(conv(inner, (1, 1))(y)))
                step = strides if block == 0 else 1
                y = nn.relu6(norm(train)(conv(inner, (3, 3), step, padding=1, feature_group_count=inner)(y)))
                y = norm(train)(conv(features, (1, 1))(y))
                x = x + y if x.shape == y.shape else y
        x = nn.relu6(norm(train)(conv(1280, (1, 1))(x)))
        return nn.Dense(self.num_classes)(nn.Dropout(0.2, deterministic=not train)(x.mean((1, 2))))


class ConvNeXt(nn.Module):
    num_classes: int
    stages: Sequence[int] = (3, 3, 9, 3)
    num_filters: Sequence[int] = (96, 192, 384, 768)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        for stage, (blocks, features) in enumerate(zip(self.stages, self.num_filters, strict=True)):
            if stage == 0:
                x = nn.LayerNorm(epsilon=1e-6)(nn.Conv(features, (4, 4), 4, padding="VALID")(x))
            else:
                x = nn.Conv(features, (2, 2), 2, padding="VALID")(nn.LayerNorm(epsilon=1e-6)(x))
            for block in range(blocks):
                y = nn.Conv(features, (7, 7), padding=3, feature_group_count=features)(x)
                y = nn.Dense(4 * features)(nn.LayerNorm(epsilon=1e-6)(y))
                y = nn.Dense(features)(nn.gelu(y, approximate=False))
                scale = self.param(
                    f"scale{stage}_{block}", nn.initializers.constant(1e-6), (1, 1, 1, features)
                )
                x = x + scale * y
        return nn.Dense(self.num_classes)(nn.LayerNorm(epsilon=1e-6)(x.mean((1, 2))))
