"""Makes saved_dataset/ as Hugging Face's own library does: pip install datasets, then run this. No test runs it."""

from pathlib import Path

from datasets import Dataset, DatasetDict

rows = {"id": list("abcde"), "text": ["one two", "drei vier", "五六", "sept\nhuit", "nueve"], "extra": [{"n": 1}] * 5}
train, test = Dataset.from_dict(rows), Dataset.from_dict({"id": ["t"], "text": ["tested"], "extra": [{"n": 2}]})
DatasetDict({"train": train, "test": test}).save_to_disk(
    str(Path(__file__).parent / "saved_dataset"), num_shards={"train": 2, "test": 1}
)
