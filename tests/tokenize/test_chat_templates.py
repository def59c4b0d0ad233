"""A chat template is kept with the tokenizer as transformers reads it, and has the special tokens that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corpusmill.errors import InputError
from corpusmill.recipe import load_recipe
from corpusmill.storage import Folder
from corpusmill.tokenize import bpe_tokenizer
from corpusmill.tokenize.chat_templates import check_template, read_template
from corpusmill.tokenize.special_tokens import special_tokens
from corpusmill.tokenize.tokenizer_sources import read_sources

CHATML = ("tokenize.chat_template=chatml", 'tokenize.special_tokens=["<|im_start|>", "<|im_end|>"]')
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What grinds <corn>?"},
    {"role": "assistant", "content": "A mill."},
]
WRITTEN = (
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat grinds <corn>?<|im_end|>\n"
    "<|im_start|>assistant\nA mill.<|im_end|>\n"
)


def made(folder: Path, *overrides: str) -> Path:
    sources = read_sources(load_recipe("sample", ["tokenize.vocab_size=300", *overrides]).tokenize)
    sources.make(["a mill grinds corn, be brief"] * 9, Folder(str(folder)))
    return folder / "tokenizer"


@pytest.mark.parametrize("family", ["gpt2", "qwen2", "deepseek"])
def test_a_conversation_in_chatml_has_the_ids_of_its_special_tokens(family: str, tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    folder = made(tmp_path, *CHATML, f"tokenize.family={family}")
    loaded = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    assert loaded.apply_chat_template(TALK, tokenize=False) == WRITTEN
    assert loaded.apply_chat_template(TALK[:1], tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = loaded.apply_chat_template(TALK, tokenize=True)["input_ids"]
    start, end = (special_tokens(bpe_tokenizer.load_from_run(Folder(str(tmp_path))))[t] for t in CHATML_TOKENS)
    assert (start, end) == (1, 2)
    assert (ids.count(start), ids.count(end)) == (3, 3)
    assert ids[0] == start
    assert loaded.decode(ids) == WRITTEN
    assert "im_start" not in loaded.decode(ids, skip_special_tokens=True)
    assert set(CHATML_TOKENS) <= set(loaded.all_special_tokens)


def test_a_template_of_a_file_is_kept_as_it_is_and_named_by_its_contents(tmp_path: Path):
    text = "{% for m in messages %}{% generation %}<|turn|>{{ m.content }}{% endgeneration %}{% break %}{% endfor %}"
    for name in ("a.jinja", "b.jinja"):
        (tmp_path / name).write_text(text)
    chosen = ['tokenize.special_tokens=["<|turn|>"]']
    folder = made(tmp_path, *chosen, f"tokenize.chat_template={tmp_path / 'a.jinja'}")
    assert (folder / "chat_template.jinja").read_text() == text
    a, b = (
        read_sources(load_recipe("sample", [*chosen, f"tokenize.chat_template={tmp_path / n}"]).tokenize).describe(0)
        for n in ("a.jinja", "b.jinja")
    )
    assert a == b
    made(tmp_path, *chosen)
    assert not (folder / "chat_template.jinja").exists(), "made again without one"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ '<|im_start|>' }}<|im_end|>", "x.jinja writes <|im_start|>, and the tokenizer's special tokens are"),
        ("{{ m }}\n{% if %}", "x.jinja, line 2: Expected an expression"),
        ("{{ bos_token }}{{ messages }}", "x.jinja uses bos_token, and the tokenizer has an eos_token only"),
        ("<｜User｜>{{ messages }}", "x.jinja writes <｜User｜>"),
    ],
)
def test_a_template_that_the_tokenizer_cannot_write_is_refused(template: str, said: str):
    with pytest.raises(InputError) as caught:
        check_template("x.jinja", template, ["<|endoftext|>", "<|im_end|>"])
    assert said in str(caught.value)


def test_a_template_may_end_with_the_end_token_and_write_what_only_looks_like_markup():
    check_template("x", "{{ eos_token }}<b>[INST]{{ a < b }} <| x |><think>", ["<|endoftext|>"])


def test_a_recipe_without_the_special_tokens_of_its_template_is_refused_before_anything_is_trained():
    settings = load_recipe("sample", [CHATML[0], 'tokenize.special_tokens=["<|im_start|>"]']).tokenize
    with pytest.raises(InputError, match=r"chatml writes <\|im_end\|>, and .* Name what is missing in tokenize"):
        read_sources(settings)


def test_a_name_that_is_no_template_is_refused():
    with pytest.raises(InputError, match=r"chatlm: no such file, and no packaged .* did you mean 'chatml'"):
        read_template("chatlm")


@pytest.mark.parametrize("place", ["chat_template.jinja", "tokenizer_config.json"])
def test_a_tokenizer_that_is_brought_along_keeps_its_template(place: str, tmp_path: Path):
    brought = made(tmp_path / "first", *CHATML[1:])
    template = "{{ bos_token }}<|im_start|>{{ messages[0].content }}"
    if place.endswith(".json"):
        config = json.loads((brought / place).read_text()) | {"chat_template": template}
        (brought / place).write_text(json.dumps(config))
    else:
        (brought / place).write_text(template)
    assert (made(tmp_path / "second", f"tokenize.tokenizer={brought}") / "chat_template.jinja").read_text() == template
    chosen = (f"tokenize.tokenizer={brought}", CHATML[0])
    assert (made(tmp_path / "third", *chosen) / "chat_template.jinja").read_text() == read_template("chatml")
