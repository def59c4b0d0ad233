"""The learning rate: a pure function of the step, so that there is no schedule to save and none to restore."""

from __future__ import annotations

import math

from corpusmill.recipe import Train


def learning_rate(train: Train, step: int) -> float:
    """Of step 1 .. `steps`: a linear warm-up to `learning_rate`, then as `schedule` says.

    - `cosine`: half a cosine down to the least share (Loshchilov and Hutter 2017, section 3; one period).
    - `linear`: a line down to the least share.
    - `wsd`: constant, and over the last `decay_share` of the steps down by one minus a square root (warm-up, stable,
      decay: Hu et al. 2024, section 4; the form of the decay: Hägele et al. 2024, section 3).
    - `inverse_sqrt`: by the square root of warm-up over step (Vaswani et al. 2017, section 5.3); it knows no last step.
    """
    return train.learning_rate * _share(train, step)


def _share(train: Train, step: int) -> float:
    if step <= train.warmup_steps:
        return step / train.warmup_steps
    least = train.min_learning_rate_share
    if train.schedule == "inverse_sqrt":
        return max(least, math.sqrt(max(1, train.warmup_steps) / step))
    if train.schedule == "wsd":
        decay = round(train.decay_share * train.steps)
        done = (step - (train.steps - decay)) / max(1, decay)
        return 1.0 if done <= 0 else least + (1 - least) * (1 - math.sqrt(min(1.0, done)))
    done = min(1.0, (step - train.warmup_steps) / max(1, train.steps - train.warmup_steps))
    left = 1 - done if train.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return least + (1 - least) * left
