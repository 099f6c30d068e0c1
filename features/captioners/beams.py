"""Beam search by summed log-probability, as the public self-critical captioning code decodes: no length penalty."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from features.captioners.caption_net import END, CaptionNet


@dataclass(frozen=True)
class Beam:
    """Word ids of a caption, without the one that ends it; `ended`: it did end before the length limit."""

    score: float
    words: tuple[int, ...]
    ended: bool


def search(net: CaptionNet, memory: Any, *, beams: int, limit: int, never: Collection[int]) -> list[list[Beam]]:
    """The `beams` likeliest captions of each photo in `memory`, the likeliest first; `never`: words not to be used.

    A beam that ends is set aside, and the others go on until none of them can overtake it. One beam is greedy decoding.
    """
    import torch

    count = len(memory.seen)
    device = memory.seen.device
    done: list[list[Beam]] = [[] for _ in range(count)]
    words = torch.zeros(count, 1, 0, dtype=torch.long, device=device)
    sums = torch.zeros(count, 1, device=device)
    last = torch.full((count,), END, dtype=torch.long, device=device)
    for position in range(limit):
        found = net.step(last, position, memory)
        found[:, list(never)] = -torch.inf
        width = sums.shape[1]
        total = (sums.unsqueeze(-1) + found.view(count, width, -1)).flatten(1)
        sums, flat = total.topk(min(beams, total.shape[1]), dim=1)
        parent, word = flat // net.vocabulary, flat % net.vocabulary
        words = torch.cat([words.gather(1, parent.unsqueeze(-1).expand(-1, -1, position)), word.unsqueeze(-1)], dim=2)
        finished = _collect(done, words, sums, last_step=position == limit - 1)
        sums = sums.masked_fill(word == END, -torch.inf)
        if finished or all(_settled(row, best, beams) for row, best in zip(done, sums.amax(1).tolist(), strict=True)):
            break
        net.follow(memory, (parent + torch.arange(count, device=device).unsqueeze(1) * width).flatten())
        last = word.flatten()
    return [sorted(row, key=lambda beam: -beam.score)[:beams] for row in done]


def _collect(done: list[list[Beam]], words: Any, sums: Any, last_step: bool) -> bool:
    """Set aside what ended, and at the last step everything that is still alive; whether it was the last."""
    for row, texts, scores in zip(done, words.tolist(), sums.tolist(), strict=True):
        for text, score in zip(texts, scores, strict=True):
            ended = text[-1] == END
            if score > -float("inf") and (ended or last_step):
                row.append(Beam(score, tuple(text[:-1] if ended else text), ended))
    return last_step


def _settled(row: list[Beam], best: float, beams: int) -> bool:
    """Whether no living beam, the best of which has the sum `best`, can come among the kept ones any more."""
    return len(row) >= beams and best <= sorted((beam.score for beam in row), reverse=True)[beams - 1]
