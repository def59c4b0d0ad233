"""The learning rate: a pure function of the step, so that there is no schedule to save and none to restore."""

from __future__ import annotations

import math

from corpusmill.recipe import Train


def learning_rate(train: Train, step: int) -> float:
    """Of step 1 .. `steps`: a linear warm-up to `learning_rate`, then half a cosine down to the least share of it."""
    if step <= train.warmup_steps:
        return train.learning_rate * step / train.warmup_steps
    done = (step - train.warmup_steps) / max(1, train.steps - train.warmup_steps)
    least = train.min_learning_rate_share
    return train.learning_rate * (least + (1 - least) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
