"""What has been done, in files a person can open: which part an input is, one record per finished part,
one manifest per finished stage.

    RUN/parts.json                input -> part number; never reused, so addresses do not move when inputs are added
    RUN/<stage>/settings.json     the part of the recipe that decides this stage's output
    RUN/<stage>/records/*.json    counts, bytes, inputs and outputs with checksums: written last, so a part is done
                                  exactly when its record stands
    RUN/<stage>/manifest.json     all records in one, totals, versions: a stage is done exactly when it stands
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any

from corpusmill.errors import DamagedError, InputError
from corpusmill.schemas import FORMAT_VERSION, check_version
from corpusmill.storage import Folder, Output, digest

_DECIDING_PACKAGES = (
    "corpusmill", "duckdb", "fasttext-numpy2-wheel", "FastWARC", "ftfy", "numba", "pyarrow", "Resiliparse", "tiktoken",
    "tokenizers", "trafilatura",
)  # fmt: skip


def part_name(part: int) -> str:
    return f"part-{part:05d}"


class PartRegistry:
    """Input name to part number. A known input keeps its number; a new one gets the next; none is used twice."""

    NAME = "parts.json"

    def __init__(self, run: Folder) -> None:
        self.run = run
        self.entries: list[dict[str, Any]] = []
        if run.exists(self.NAME):
            stored = run.read_json(self.NAME)
            check_version(stored.get("format"), f"{run.url}/{self.NAME}")
            self.entries = stored["parts"]

    def register(self, inputs: Sequence[str], sizes: Mapping[str, int]) -> list[dict[str, Any]]:
        """As `numbered`, and kept."""
        entries = self.numbered(inputs, sizes)
        self.run.write_json(self.NAME, {"format": FORMAT_VERSION, "parts": self.entries})
        return entries

    def numbered(self, inputs: Sequence[str], sizes: Mapping[str, int]) -> list[dict[str, Any]]:
        """Entries of `inputs`, in part order. An input whose size has changed since is refused by name."""
        known = {e["input"]: e for e in self.entries}
        for name in inputs:
            if name not in known:
                entry = {"part": len(self.entries), "input": name, "bytes": sizes[name]}
                known[name] = entry
                self.entries.append(entry)
            elif known[name]["bytes"] != sizes[name]:
                raise InputError(
                    f"{name} has {sizes[name]:,} bytes; it had {known[name]['bytes']:,} when this run first read it. "
                    "Give the changed file another name, or start over with another --output"
                )
        wanted = set(inputs)
        return [e for e in self.entries if e["input"] in wanted]


class StageLedger:
    """The settings, records and manifest of one stage of one run."""

    def __init__(self, run: Folder, stage: str) -> None:
        self.run = run
        self.stage = stage
        self.manifest_name = f"{stage}/manifest.json"

    def open(self, settings: Mapping[str, Any], inputs: Mapping[str, Any], start_over: bool = False) -> bool:
        """Prepare the stage; True if it is finished already for these settings and inputs.

        Other settings than the stored ones are refused, naming which, unless `start_over`. Other inputs (an earlier
        stage ran again) make the stage be done again, except for parts whose own inputs did not change.
        """
        stored_name = f"{self.stage}/settings.json"
        if self.run.exists(stored_name):
            stored = self.run.read_json(stored_name)
            check_version(stored.get("format"), f"{self.run.url}/{stored_name}")
            changed = _differences(stored["settings"], dict(settings))
            if changed and not start_over:
                raise InputError(
                    f"{self.run.url}: the recipe's {self.stage} settings are not those this run was made with: "
                    + "; ".join(changed)
                    + f". Restore them, choose another --output, or add --start-over {self.stage}"
                )
            if changed or start_over:
                self.clear()
        if self.is_done(settings, inputs):
            return True
        self.run.remove(self.manifest_name)
        self.run.write_json(stored_name, {"format": FORMAT_VERSION, "settings": dict(settings)})
        return False

    def settings(self) -> dict[str, Any]:
        """The part of the recipe that the stage was made with; empty before it was begun."""
        name = f"{self.stage}/settings.json"
        return dict(self._checked(name)["settings"]) if self.run.exists(name) else {}

    def is_done(self, settings: Mapping[str, Any], inputs: Mapping[str, Any]) -> bool:
        """Whether the stage is finished for these settings and inputs."""
        manifest = self.manifest()
        if manifest is None:
            return False
        return bool(manifest["inputs"] == dict(inputs) and manifest["settings"] == digest(settings))

    def clear(self) -> None:
        """Forget the whole stage: its manifest first, so that a crash leaves it unfinished rather than wrong."""
        for record in self.records():
            self._remove_outputs(record)
        for name in (self.manifest_name, f"{self.stage}/records", f"{self.stage}/settings.json"):
            self.run.remove(name)

    def done(self, part: int, settings_digest: str, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
        """The record of `part` if it was made with these settings from these inputs and its outputs are whole."""
        record = self.record(part)
        if record is None:
            return None
        same = record["settings"] == settings_digest and record["inputs"] == dict(inputs)
        if same and all(self.run.size(name) == out["bytes"] for name, out in record["outputs"].items()):
            return record
        self._remove_outputs(record)
        return None

    def write_record(
        self,
        part: int,
        *,
        settings_digest: str,
        inputs: Mapping[str, Any],
        outputs: Iterable[Output],
        counts: Mapping[str, Any],
        **more: Any,
    ) -> dict[str, Any]:
        """Call last: from here on the part counts as done."""
        record = {
            "format": FORMAT_VERSION,
            "stage": self.stage,
            "part": part,
            "settings": settings_digest,
            "inputs": dict(inputs),
            "outputs": {o.name: o.describe() for o in outputs},
            "counts": dict(counts),
            **more,
        }
        self.run.write_json(self._record_name(part), record)
        return record

    def record(self, part: int) -> dict[str, Any] | None:
        name = self._record_name(part)
        return self._checked(name) if self.run.exists(name) else None

    def records(self) -> list[dict[str, Any]]:
        return [self._checked(name) for name in self.run.names(f"{self.stage}/records/part-*.json")]

    def manifest(self) -> dict[str, Any] | None:
        return self._checked(self.manifest_name) if self.run.exists(self.manifest_name) else None

    def require_manifest(self) -> dict[str, Any]:
        manifest = self.manifest()
        if manifest is None:
            raise InputError(
                f"{self.run.url} has no finished {self.stage} stage yet: run `corpusmill {self.stage}` first"
            )
        return manifest

    def commit(
        self,
        settings: Mapping[str, Any],
        inputs: Mapping[str, Any],
        records: Sequence[Mapping[str, Any]],
        *,
        outputs: Iterable[Output] = (),
        counts: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Write the manifest: the stage is done.

        `outputs` are files of the whole stage beside those of its parts; `counts` replace the sum over the parts.
        """
        totals = add_counts(r["counts"] for r in records) if counts is None else dict(counts)
        written = {name: out for r in records for name, out in r["outputs"].items()}
        written |= {o.name: o.describe() for o in outputs}
        manifest = {
            "format": FORMAT_VERSION,
            "stage": self.stage,
            "settings": digest(settings),
            "inputs": dict(inputs),
            "parts": sorted(int(r["part"]) for r in records),
            "counts": totals,
            "outputs": written,
            "versions": versions(),
            **more,
        }
        self.run.write_json(self.manifest_name, manifest)
        return manifest

    def _record_name(self, part: int) -> str:
        return f"{self.stage}/records/{part_name(part)}.json"

    def _checked(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = self.run.read_json(name)
        check_version(value.get("format"), f"{self.run.url}/{name}")
        return value

    def _remove_outputs(self, record: Mapping[str, Any]) -> None:
        self.run.remove(self._record_name(record["part"]))
        for name in record["outputs"]:
            self.run.remove(name)


def verify_outputs(run: Folder, manifest: Mapping[str, Any]) -> None:
    """Refuse, by name, an output that is missing or has another size than its manifest says."""
    for name, out in manifest["outputs"].items():
        size = run.size(name)
        if size != out["bytes"]:
            found = "is missing" if size is None else f"has {size:,} bytes"
            raise DamagedError(
                f"{run.url}/{name} {found}; its manifest says {out['bytes']:,} bytes. "
                f"Rerun `corpusmill {manifest['stage']}`: only what is damaged is made again"
            )


def replace_outputs(run: Folder, replaced: Mapping[str, Mapping[str, Any]]) -> None:
    """Let records and manifests of all stages name files that were changed after they were written.

    `replaced` is {name: {"bytes", "sha256"}}. Stages that read these files count as done with the changed ones.
    """
    for name in [*run.names("*/records/part-*.json"), *run.names("*/manifest.json")]:
        value = run.read_json(name)
        for kind in ("inputs", "outputs"):
            known = value.get(kind)
            if isinstance(known, dict):
                value[kind] = {n: replaced.get(n, v) for n, v in known.items()}
        run.write_json(name, value)


def add_counts(counts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Add nested counts, key by key."""
    total: dict[str, Any] = {}
    for one in counts:
        for key, value in one.items():
            if isinstance(value, Mapping):
                total[key] = add_counts([total.get(key, {}), value])
            else:
                total[key] = total.get(key, 0) + value
    return dict(sorted(total.items()))


def count_values(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def versions() -> dict[str, str]:
    """Versions of the packages that decide what comes out."""
    found = {}
    for package in _DECIDING_PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _differences(stored: Any, wanted: Any, where: str = "") -> list[str]:
    if isinstance(stored, dict) and isinstance(wanted, dict):
        keys = sorted(stored.keys() | wanted.keys())
        return [d for k in keys for d in _differences(stored.get(k), wanted.get(k), f"{where}.{k}".lstrip("."))]
    return [] if stored == wanted else [f"{where} was {stored!r} and is now {wanted!r}"]
