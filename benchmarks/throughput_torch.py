"""Measure the training throughput of PyTorch (channels last) on the network and images of throughput.py.

python benchmarks/throughput_torch.py [--rows N] [--rounds N] [--data DIR]

Needs torch and numpy only, and is run by the Python of an environment that has them. The first epoch does not count.
Batches are gathered from a tensor in memory by a new permutation each epoch; nothing is augmented.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from machine import DATA, print_machine
from torch import nn

BATCH = 128


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs, 1e-5, 0.1)
    )


class Block(nn.Module):
    """Two 3 x 3 convolutions, and a shortcut that halves by average pooling."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(conv(inputs, outputs, stride=stride), nn.ReLU(True), conv(outputs, outputs))
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.AvgPool2d(stride, ceil_mode=True))
        if stride > 1 or inputs != outputs:
            self.shortcut.append(conv(inputs, outputs, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def network(channels: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        *(conv(channels, 16), nn.ReLU(True), conv(16, 32, stride=2), nn.ReLU(True)),
        *(Block(32, 32, 1), Block(32, 64, 2), Block(64, 128, 2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, outputs)),
    )


def train_epoch(model: nn.Module, optimizer, schedule, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Train an epoch and give its seconds."""
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    begun, loss_sum, correct = time.perf_counter(), 0.0, 0
    for chosen in torch.randperm(len(images)).split(BATCH):
        pixels = images[chosen].float() / 127.5 - 1.0
        logits = model(pixels.contiguous(memory_format=torch.channels_last))
        loss = loss_of(logits, labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        loss_sum += loss.item()  # Keras too keeps the loss and the accuracy of each step
        correct += int((logits.argmax(1) == labels[chosen]).sum())
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=12_800, help="images in an epoch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=6, help="epochs that count (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder that holds fashion_mnist")
    given = parser.parse_args()
    print_machine()
    with np.load(given.data / "fashion_mnist" / "train.npz") as file:
        images = torch.from_numpy(file["images"][: given.rows, np.newaxis])
        labels = torch.from_numpy(file["labels"][: given.rows].astype(np.int64))
    images = images.contiguous(memory_format=torch.channels_last)
    model = network(1, 10).to(memory_format=torch.channels_last).train()
    print(f"{sum(weights.numel() for weights in model.parameters())} trainable parameters", flush=True)
    matrices = [weights for weights in model.parameters() if weights.dim() > 1]
    vectors = [weights for weights in model.parameters() if weights.dim() == 1]
    optimizer = torch.optim.SGD(
        [{"params": matrices, "weight_decay": 5e-3}, {"params": vectors}], 0.1, momentum=0.9, nesterov=True
    )
    steps = -(-len(images) // BATCH) * (given.rounds + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, steps, pct_start=0.2, cycle_momentum=False)
    speeds = [len(images) / train_epoch(model, optimizer, schedule, images, labels) for _ in range(given.rounds + 1)][
        1:
    ]
    print(f"PyTorch              {statistics.median(speeds):6.0f} images/s ({min(speeds):.0f} to {max(speeds):.0f})")


if __name__ == "__main__":
    main()
