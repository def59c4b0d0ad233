"""The training loop: DeepSpeed's engine over the token stream, one process of `ranks`.

The loss of a step is the mean over all targets of the global batch, whatever the number of ranks and micro-batches. A
run that was stopped, or killed at any moment, goes on from its newest complete checkpoint and writes the same lines.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from corpusmill.errors import CorpusmillError, InputError, require_extra
from corpusmill.recipe import Train
from corpusmill.storage import Folder
from corpusmill.train import checkpoints, deepspeed_config, train_settings
from corpusmill.train.learning_rate import learning_rate
from corpusmill.train.metrics_log import MetricsLog, read_metrics
from corpusmill.train.process_lines import STEP_LINE, tell
from corpusmill.train.process_setup import StopRequest, owning
from corpusmill.train.stream import Batch, TokenStream
from corpusmill.train.stream.journal import REFUSED, Journal, JournalWatch, read_journal
from corpusmill.train.stream.stream_kernels import IGNORED

require_extra("Training", "train", "torch", "transformers", "deepspeed")

import torch  # noqa: E402  the check comes first, so that a missing extra is one sentence
import torch.distributed as dist  # noqa: E402
import torch.nn.functional as F  # noqa: E402, N812  torch's own name for it

from corpusmill.train.model_config import (  # noqa: E402
    build_model,
    check_documents_are_apart,
    config_values,
    document_mask,
    llama_config,
    parameter_groups,
)

_TIMEOUT = timedelta(minutes=30)
_BYTES_A_PARAMETER = 20
"""Of a checkpoint: weights, master weights and two moments in fp32, and room to spare."""

T = TypeVar("T")


@dataclass
class Trainer:
    """One rank's share of a training: the engine, the stream, and where results go."""

    train: Train
    folder: Folder
    stream: TokenStream
    engine: Any
    device: torch.device
    stop: StopRequest
    journal: JournalWatch

    def run(self, log: MetricsLog | None) -> int:
        """Train to the last step. Returns the exit code: 0, or that of the signal that stopped it."""
        for step in range(self.stream.next_step, self.train.steps + 1):
            started = time.perf_counter()
            line, stopped = self.step(step)
            if log is not None:
                log.append(line)
                _report(line, self.train.steps, time.perf_counter() - started)
            if stopped or step == self.train.steps or step % self.train.checkpoint_every == 0:
                self.checkpoint(step, log)
            if stopped and step < self.train.steps:
                return stopped
        return 0

    def step(self, step: int) -> tuple[dict[str, Any], int]:
        """One optimizer step: its line of metrics, and the exit code of a signal that any rank has heard (or 0)."""
        batch = self.stream.next_batch(dist.get_rank(), dist.get_world_size())
        targets, tokens = self._sum([batch.num_targets, batch.num_tokens])
        rate = learning_rate(self.train, step)
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate
        summed = self._accumulate(batch, max(1.0, targets))
        heard = [float(self.stop.exit_code == code) for code in (130, 143)]
        changed = dist.get_rank() == 0 and self.journal.changed()
        summed, interrupted, terminated, written = self._sum([summed, *heard, float(changed)])
        if written:
            self._take_journal()
        line = {
            "step": step,
            "sample": int(batch.samples[0]) if dist.get_rank() == 0 else None,  # of rank 0, the step's first
            "loss": summed / max(1.0, targets),
            "learning_rate": rate,
            "gradient_norm": _number(self._gradient_norm),
            "tokens": int(tokens),
            "targets": int(targets),
        }
        _require_finite(line)
        return line, 130 if interrupted else 143 if terminated else 0

    def checkpoint(self, step: int, log: MetricsLog | None) -> None:
        if log is not None:
            log.sync()
        parameters = sum(getattr(p, "ds_numel", p.numel()) for p in self.engine.module.parameters())
        agreed(lambda: self.folder.require_space(_BYTES_A_PARAMETER * parameters, "a checkpoint"))
        state = {"stream": self.stream.state_dict()}
        keep, every = self.train.keep_checkpoints, self.train.checkpoint_every
        checkpoints.save(self.engine, self.folder, step, state, keep, every)

    def _take_journal(self) -> None:
        """Go on with the journal as it is now; with the one before if the new one cannot be."""
        entries, refused = agreed(lambda: self.journal.read(self.stream))
        if refused:
            if dist.get_rank() == 0:
                tell(f"what was written to the journal is not taken, and put aside in {REFUSED}: {refused}")
            return
        self.stream = self.stream.with_journal(Journal(entries))

    def _accumulate(self, batch: Batch, targets: float) -> float:
        """Forward, backward and the optimizer's step, by micro-batches. Returns the sum of this rank's losses."""
        micro = self.engine.train_micro_batch_size_per_gpu()
        # DeepSpeed divides by the micro-batches and averages over the ranks; this makes it the mean over all targets
        weight = self.engine.gradient_accumulation_steps() * dist.get_world_size() / targets
        summed = torch.zeros((), dtype=torch.float64, device=self.device)
        self._gradient_norm: Any = None
        for part in batch.micro_batches(micro):
            loss = self._loss(part)
            self.engine.backward(loss * weight)
            summed += loss.detach()
            if self.engine.is_gradient_accumulation_boundary() and self.engine.zero_optimization_stage() == 0:
                self._gradient_norm = _norm(self.engine.module)  # only ZeRO's optimizers measure it themselves
            self.engine.step()
        self._gradient_norm = self.engine.get_global_grad_norm() or self._gradient_norm
        return float(summed)

    def _loss(self, batch: Batch) -> torch.Tensor:
        """Sum of the cross entropy over the targets of a micro-batch."""
        ids, labels, positions, documents = (
            torch.from_numpy(a).to(self.device)
            for a in (batch.input_ids, batch.labels, batch.positions, batch.documents)
        )
        logits = self.engine(input_ids=ids, attention_mask=document_mask(documents), position_ids=positions).logits
        flat = logits.float().view(-1, logits.shape[-1])
        return F.cross_entropy(flat, labels.view(-1), ignore_index=IGNORED, reduction="sum")

    def _sum(self, values: list[float]) -> list[float]:
        """Each value added up over the ranks."""
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return [float(v) for v in tensor]


def train_model(run: Folder, train: Train) -> int:
    """Train in RUN/train from RUN/shards as one rank of the processes that the environment describes.

    Returns 0 when all steps are done, else the exit code of the signal that stopped it. Raises CorpusmillError for what
    a user can put right.
    """
    stop = StopRequest()
    stop.listen()
    folder = run.sub("train")
    ranks = int(os.environ["WORLD_SIZE"])
    config = deepspeed_config.resolve(train, ranks)
    device = _join(config)
    watch = JournalWatch(folder)  # before it is read: what is written from here on is taken at the end of a step
    entries = agreed(lambda: _journal_of(run, train))
    stream = train_settings.open_stream(run, train, Journal(entries))
    settings = train_settings.describe(train, stream, config, ranks)
    with ExitStack() as stack:
        newest = agreed(lambda: _take_over(stack, folder, settings))
        engine = _engine(train, stream, config, folder, device)
        trainer = Trainer(train, folder, stream, engine, device, stop, watch)
        if newest is not None:
            state = checkpoints.load(trainer.engine, newest)["stream"]
            stream.load_state_dict(state)
            agreed(lambda: train_settings.tell_changes(folder, stream, state["versions"], train.steps))
        first = stream.next_step
        log = agreed(lambda: stack.enter_context(MetricsLog(folder, first - 1)), share=False)
        code = trainer.run(log)
        if code == 0:
            agreed(lambda: write_final(folder, train))
        dist.barrier()
    dist.destroy_process_group()
    return code


def _journal_of(run: Folder, train: Train) -> list[dict[str, Any]]:
    """The journal's entries, once all documents that it speaks of are packed, if that is wanted."""
    journal = read_journal(run.sub("train"))
    train_settings.prepare_stream(run, train, journal=journal)
    return [entry.describe() for entry in journal.entries]


def write_final(folder: Folder, train: Train) -> None:
    lines = read_metrics(folder)
    final = {
        "format": 1,
        "checkpoint": f"{checkpoints.CHECKPOINTS}/{checkpoints.tag_of(train.steps)}",
        "steps": train.steps,
        "first_loss": lines[0]["loss"],
        "final_loss": lines[-1]["loss"],
        "tokens": sum(line["tokens"] for line in lines),
    }
    folder.write_json(train_settings.FINAL, final)


def agreed(action: Callable[[], T], *, share: bool = True) -> T:
    """Do it on rank 0 only; every rank gets the answer (without `share`: None), or raises the same CorpusmillError."""
    answer: Any = None
    box: list[Any] = [None, None]
    if dist.get_rank() == 0:
        try:
            answer = action()
            box[0] = answer if share else None
        except CorpusmillError as e:
            box[1] = e
    dist.broadcast_object_list(box, src=0)
    if box[1] is not None:
        raise box[1]
    return answer if dist.get_rank() == 0 else box[0]


def _join(config: dict[str, Any]) -> torch.device:
    """Join the process group on the device that DeepSpeed chose."""
    import deepspeed
    from deepspeed.accelerator import get_accelerator

    # Compiled at first use (37 s), and used for tensor-parallel inference only: training never calls it.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    accelerator, local_rank = get_accelerator(), int(os.environ.get("LOCAL_RANK", 0))
    if accelerator.device_name() == "cpu":
        _share_cores()
    else:
        accelerator.set_device(local_rank)
    deepspeed.init_distributed(accelerator.communication_backend_name(), verbose=False, timeout=_TIMEOUT)
    return torch.device(accelerator.device_name(local_rank))


def _share_cores() -> None:
    if "OMP_NUM_THREADS" not in os.environ:
        here = int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("LOCAL_SIZE") or 1)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // here))


def _take_over(stack: ExitStack, folder: Folder, settings: dict[str, Any]) -> checkpoints.Checkpoint | None:
    """Own the folder, clear away what a killed run left, and find the checkpoint to go on from."""
    stack.enter_context(owning(folder))
    folder.remove_temporary()
    checkpoints.remove_incomplete(folder)
    found = checkpoints.complete_checkpoints(folder)
    if found:
        train_settings.require_same(folder, settings)
        checkpoints.verify(found[-1])
    folder.write_json(train_settings.SETTINGS, settings)
    folder.write_json("deepspeed.json", settings["deepspeed"])
    return found[-1] if found else None


def _engine(train: Train, stream: TokenStream, config: dict[str, Any], folder: Folder, device: torch.device) -> Any:
    """DeepSpeed's engine around the model, checked to keep documents apart."""
    import deepspeed

    llama = llama_config(
        train.model,
        vocab_size=stream.vocab_size,
        eos_token_id=stream.eos_token_id,
        sequence_length=train.sequence_length,
    )
    agreed(lambda: folder.write_json(checkpoints.MODEL, config_values(llama)))
    model = build_model(llama, train.seed)
    groups = parameter_groups(model, train.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=train.learning_rate, betas=(0.9, train.beta2), eps=1e-8)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
    engine.eval()
    check_documents_are_apart(engine, stream.vocab_size, device, train.sequence_length)
    engine.train()
    return engine


def _require_finite(line: dict[str, Any]) -> None:
    if not math.isfinite(line["loss"]):
        raise InputError(
            f"the loss of step {line['step']} is {line['loss']}: training has diverged. Lower train.learning_rate or "
            "raise train.warmup_steps, and start again in a new run folder; earlier checkpoints are kept"
        )


def _norm(model: torch.nn.Module) -> torch.Tensor:
    return torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _report(line: dict[str, Any], steps: int, seconds: float) -> None:
    shown = {**line, "steps": steps, "tokens_per_second": round(line["tokens"] / seconds)}
    print(STEP_LINE + json.dumps(shown, sort_keys=True), flush=True)
