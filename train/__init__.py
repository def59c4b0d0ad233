"""Token shards to a model: a deterministic stream of batches, and a DeepSpeed training loop over it.

    stream/             which tokens stand in which batch; numpy and numba only
    run.py              one training process: `deepspeed train/run.py --recipe R --run RUN`
    train_job.py        starts those processes for `corpusmill train`

Importing this package loads nothing. The stream and the trace need no extra; modules that need torch say so when they
are imported, in one sentence that names the extra `train`.
"""
