"""Measure training of the diffusion network by PyTorch, for `image_generation.py speed`, which runs this.

PYTHON benchmarks/image_generation_torch.py --width N --blocks N --batch N

Needs torch only. Prints a line of JSON: training images a second, parameters, version.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import time

import torch
from torch import nn
from torch.nn import functional

STEPS, WARMUP = 30, 5


class Block(nn.Module):
    """Residual block that time and label scale and shift."""

    def __init__(self, inputs: int, features: int, known: int):
        super().__init__()
        self.skip = nn.Identity() if inputs == features else nn.Conv2d(inputs, features, 1)
        self.norm_1, self.norm_2 = nn.GroupNorm(8, inputs), nn.GroupNorm(8, features)
        self.conv_1 = nn.Conv2d(inputs, features, 3, padding=1)
        self.conv_2 = nn.Conv2d(features, features, 3, padding=1)
        self.known = nn.Linear(known, 2 * features)
        nn.init.zeros_(self.conv_2.weight)

    def forward(self, x: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        h = self.norm_2(self.conv_1(functional.silu(self.norm_1(x))))
        scale, shift = self.known(known)[:, :, None, None].chunk(2, 1)
        return self.skip(x) + self.conv_2(functional.silu(h * (1 + scale) + shift))


class Unet(nn.Module):
    """The network of `ImageGenerator` for 28 x 28 pixels: patches of 2 x 2, two levels."""

    def __init__(self, width: int, blocks: int, labels: int = 10):
        super().__init__()
        known, deep = 4 * width, 2 * width
        self.time_1, self.time_2 = nn.Linear(32, known), nn.Linear(known, known)
        self.label = nn.Embedding(labels + 1, known)
        self.patches, self.down = nn.Conv2d(1, width, 3, 2, 1), nn.Conv2d(width, deep, 3, 2, 1)
        self.first = nn.ModuleList(Block(width, width, known) for _ in range(blocks))
        self.second = nn.ModuleList(Block(deep, deep, known) for _ in range(blocks))
        self.norm, self.attention = nn.GroupNorm(8, deep), nn.MultiheadAttention(deep, 4, batch_first=True)
        self.middle = Block(deep, deep, known)
        self.last = nn.ModuleList(Block(width if number else width + deep, width, known) for number in range(blocks))
        self.out = nn.GroupNorm(8, width)
        self.pixels = nn.ConvTranspose2d(width, 1, 3, 2, 1, 1)
        self.register_buffer("frequencies", math.pi * 1000 ** (torch.arange(16) / 15))

    def forward(self, noisy: torch.Tensor, when: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        angles = when[:, None] * self.frequencies
        known = self.time_2(functional.silu(self.time_1(torch.cat([angles.sin(), angles.cos()], 1))))
        known = functional.silu(known + self.label(label))
        x = self.patches(noisy)
        for block in self.first:
            x = block(x, known)
        kept, x = x, self.down(x)
        for block in self.second:
            x = block(x, known)
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        attended = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        x = self.middle(x + attended.transpose(1, 2).reshape(x.shape), known)
        x = torch.cat([functional.interpolate(x, scale_factor=2), kept], 1)
        for block in self.last:
            x = block(x, known)
        return self.pixels(functional.silu(self.out(x)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("width", "blocks", "batch"):
        parser.add_argument(f"--{name}", type=int, required=True)
    given = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = Unet(given.width, given.blocks).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.0, fused=True)
    averages = [weight.detach().clone() for weight in model.parameters()]
    data = torch.rand(6400, 1, 28, 28) * 2 - 1
    seconds = []
    for _ in range(WARMUP + STEPS):
        begun = time.perf_counter()
        images = data[torch.randint(len(data), (given.batch,))].to(memory_format=torch.channels_last)
        when, noise, label = torch.rand(given.batch), torch.randn_like(images), torch.randint(11, (given.batch,))
        angle = when[:, None, None, None] * (math.pi / 2)
        predicted = model(angle.cos() * images + angle.sin() * noise, when, label)
        functional.mse_loss(predicted, angle.cos() * noise - angle.sin() * images).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_lerp_(averages, list(model.parameters()), 0.001)
        seconds.append(time.perf_counter() - begun)
    speed = given.batch / statistics.median(seconds[WARMUP:])
    count = sum(weight.numel() for weight in model.parameters())
    print(json.dumps({"images_per_second": speed, "parameters": count, "version": torch.__version__}))


if __name__ == "__main__":
    main()
