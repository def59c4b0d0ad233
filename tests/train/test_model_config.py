"""The model keeps documents apart, and is the same for the same seed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from corpusmill.errors import InputError
from corpusmill.recipe import Model
from corpusmill.train.model_config import (
    build_model,
    check_documents_are_apart,
    config_values,
    document_mask,
    llama_config,
    parameter_groups,
)

TINY = Model(hidden_size=16, intermediate_size=32, num_layers=2, num_heads=2, num_kv_heads=1)
CPU = torch.device("cpu")


def tiny(seed: int = 0, **changes: Any) -> Any:
    settings = TINY.model_copy(update=changes)
    return build_model(llama_config(settings, vocab_size=50, eos_token_id=0, sequence_length=32), seed).eval()


def test_the_mask_lets_a_token_see_its_own_document_up_to_itself() -> None:
    mask = document_mask(torch.tensor([[4, 4, 7, 7, -1]]))
    assert mask.shape == (1, 1, 5, 5)
    assert mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1],
    ]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_packed_row_gives_each_document_the_logits_it_has_alone(attention: str) -> None:
    model = tiny()
    model.set_attn_implementation(attention)
    ids, documents = torch.tensor([[5, 6, 7, 8, 9, 10, 11]]), torch.tensor([[0, 0, 0, 1, 1, 1, 1]])
    positions = torch.tensor([[0, 1, 2, 0, 1, 2, 3]])
    mask = document_mask(documents)
    if attention == "eager":
        mask = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
    with torch.no_grad():
        packed = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
        alone = [model(input_ids=ids[:, :3]).logits, model(input_ids=ids[:, 3:]).logits]
    torch.testing.assert_close(packed, torch.cat(alone, dim=1), atol=1e-5, rtol=1e-4)


def test_the_check_passes_a_model_that_honours_the_mask() -> None:
    check_documents_are_apart(tiny(), 50, CPU, 32)


def test_the_check_refuses_a_model_without_a_mask() -> None:
    model = tiny()

    def careless(*, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Any:
        return model(input_ids=input_ids, position_ids=torch.arange(input_ids.shape[1])[None])

    with pytest.raises(InputError, match="attention crosses document borders: changing one document moved another's"):
        check_documents_are_apart(careless, 50, CPU, 32)


def test_the_check_refuses_a_model_whose_mask_is_only_causal() -> None:
    model = tiny()

    def causal(*, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Any:
        mask = torch.ones_like(attention_mask).tril()
        return model(input_ids=input_ids, attention_mask=mask, position_ids=position_ids)

    with pytest.raises(InputError, match="attention crosses document borders"):
        check_documents_are_apart(causal, 50, CPU, 32)


def test_the_check_refuses_logits_that_are_not_numbers() -> None:
    model = tiny()
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="the logits of the untrained model are not finite"):
        check_documents_are_apart(model, 50, CPU, 32)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    torch.manual_seed(123)  # what happened before must not matter
    first, again, other = tiny(1).state_dict(), tiny(1).state_dict(), tiny(2).state_dict()
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])


def test_the_configuration_says_what_the_recipe_says() -> None:
    values = config_values(
        llama_config(Model(rope_theta=5e4, tie_embeddings=False), vocab_size=777, eos_token_id=3, sequence_length=128)
    )
    expected = {
        "vocab_size": 777,
        "eos_token_id": 3,
        "max_position_embeddings": 128,
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "tie_word_embeddings": False,
        "use_cache": True,
        "model_type": "llama",
    }
    assert {key: values[key] for key in expected} == expected
    assert values["rope_parameters"]["rope_theta"] == 5e4


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(InputError, match="hidden_size 16 must be a multiple of num_heads 3"):
        tiny(num_heads=3)


def test_only_matrices_are_decayed() -> None:
    model = tiny()
    decayed, plain = parameter_groups(model, 0.1)
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    assert {p.dim() for p in decayed["params"]} == {2}
    assert {p.dim() for p in plain["params"]} == {1}
    assert len(decayed["params"]) + len(plain["params"]) == len(list(model.parameters()))
