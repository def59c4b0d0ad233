"""Marks on lines that a training process prints and `corpusmill train`, its parent, reads."""

STEP_LINE = "corpusmill-step "
"""Before the JSON of each step, on standard output of rank 0."""

ERROR_LINE = "corpusmill-error: "
"""Before the kind of error and the sentence that a process ends with, on one line."""

TOLD_LINE = "corpusmill-told "
"""Begins a line that a person is to see while the training runs."""


def tell(sentence: str) -> None:
    print(TOLD_LINE + sentence.replace("\n", " "), flush=True)
