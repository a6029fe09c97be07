"""Measure generation by transformers and training by PyTorch, for `language_model.py`, which runs this.

PYTHON benchmarks/language_model_torch.py generate|train --vocabulary N --width N --blocks N --heads N --context N ...

Needs torch and transformers only. Prints a line of JSON: tokens a second, parameters, version.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from typing import Any

import torch
from torch import nn
from torch.nn import functional

STEPS, WARMUP = 8, 2


class Block(nn.Module):
    """Pre-norm block with rotary positions, as that of `LanguageModel`."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.RMSNorm(width, 1e-6), nn.RMSNorm(width, 1e-6)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        rows, steps, width = x.shape
        split = self.qkv(self.norm_1(x)).view(rows, steps, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(rows, steps, width))
        return x + self.down(functional.gelu(self.up(self.norm_2(x)), approximate="tanh"))


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)


class Gpt(nn.Module):
    """The default network of `LanguageModel`."""

    def __init__(self, vocabulary: int, width: int, blocks: int, heads: int, context: int):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.norm = nn.RMSNorm(width, 1e-6)
        half = width // heads // 2
        angles = torch.arange(context)[:, None] / 10_000 ** (torch.arange(half) / half)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, self.cos[: ids.shape[1]], self.sin[: ids.shape[1]])
        return functional.linear(self.norm(x), self.embedding.weight)


def train(given: argparse.Namespace) -> dict[str, Any]:
    """Train on random tokens as nanoGPT does: fused AdamW, clipped gradients, decay of matrices."""
    model = Gpt(given.vocabulary, given.width, given.blocks, given.heads, given.context).train()
    matrices = [weight for weight in model.parameters() if weight.dim() > 1]
    vectors = [weight for weight in model.parameters() if weight.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=2e-3, betas=(0.9, 0.99), fused=True)
    rows = given.rows[0]
    data = torch.randint(3, given.vocabulary, (64 * given.context,))
    seconds = []
    for step in range(WARMUP + STEPS):
        begun = time.perf_counter()
        starts = torch.randint(len(data) - given.context - 1, (rows,))
        windows = torch.stack([data[start : start + given.context + 1] for start in starts])
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - step / 100)
        logits = model(windows[:, :-1])
        loss = functional.cross_entropy(logits.reshape(-1, given.vocabulary), windows[:, 1:].reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        seconds.append(time.perf_counter() - begun)
    speed = rows * given.context / statistics.median(seconds[WARMUP:])
    return {"tokens_per_second": speed, "parameters": count(model), "version": torch.__version__}


@torch.inference_mode()
def generate(given: argparse.Namespace) -> dict[str, Any]:
    """Generate greedily with transformers' GPT-2."""
    import transformers

    config = transformers.GPT2Config(
        vocab_size=given.vocabulary, n_positions=given.context, n_embd=given.width, n_layer=given.blocks,
        n_head=given.heads, bos_token_id=2, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).eval()
    speeds = {}
    for rows in given.rows:
        ids = torch.randint(3, given.vocabulary, (rows, given.prompt))
        options: dict[str, Any] = {"max_new_tokens": given.new, "min_new_tokens": given.new, "do_sample": False}
        options["attention_mask"] = torch.ones_like(ids)
        model.generate(ids, **options)
        seconds = []
        for _ in range(3):
            begun = time.perf_counter()
            made = model.generate(ids, **options)
            seconds.append(time.perf_counter() - begun)
        assert made.shape[1] == given.prompt + given.new
        speeds[rows] = rows * given.new / statistics.median(seconds)
    return {"tokens_per_second": speeds, "parameters": count(model), "version": transformers.__version__}


def count(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("generate", "train"))
    for name in ("vocabulary", "width", "blocks", "heads", "context", "prompt", "new"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--rows", type=int, nargs="+")
    given = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    print(json.dumps({"generate": generate, "train": train}[given.what](given)))


if __name__ == "__main__":
    main()
