"""What the chapter on packing says of transformers and torch, and its packed rows against a packed Llama."""

import inspect

import pytest
import torch
import transformers
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import cross_entropy
from transformers import DataCollatorWithFlattening, LlamaConfig, LlamaForCausalLM
from transformers.modeling_flash_attention_utils import _pad_input, _unpad_input
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import Qwen2_5_VLTextConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

from lib.systems.packing import NO_LABEL, cumulative_lengths, document_mask, pack, pad, unpad

PAGE = "book/systems/packing-rmpad.ipynb, section In production"
TRANSFORMERS = f"transformers {transformers.__version__} (5.23.0 on the page): mend the row in {PAGE}"
TORCH = f"torch {torch.__version__} (2.13.0 on the page): mend the row in {PAGE}"
GENERATOR = torch.Generator().manual_seed(0)
DOCUMENTS = [torch.randint(1, 31, (n,), generator=GENERATOR) for n in (7, 11, 1)]
PACKED = pack(DOCUMENTS, [[0, 1, 2]], 19)


def llama(backend="sdpa"):
    torch.manual_seed(0)
    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=31, attn_implementation=backend, pad_token_id=0, **sizes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6)  # the default leaves the documents' influence too small to see
    return model


def deviation(model, **call):
    """Of a packed row from separate runs, in the logits."""
    with torch.no_grad():
        apart = torch.cat([model(x[None]).logits[0] for x in DOCUMENTS])
        return (model(PACKED.tokens, **{"position_ids": PACKED.positions, **call}).logits[0] - apart).abs().max().item()


@pytest.mark.parametrize("backend", ["eager", "sdpa"])
def test_documents_are_separate_without_a_cache_and_without_a_mask_only(backend):
    model = llama(backend)
    assert deviation(model, use_cache=False) < 2e-5, TRANSFORMERS
    assert deviation(model) > 0.1, TRANSFORMERS
    assert deviation(model.train()) > 0.1, TRANSFORMERS
    assert deviation(model.eval(), use_cache=False, attention_mask=torch.ones_like(PACKED.tokens)) > 0.1, TRANSFORMERS


def test_flex_attention_leaks_under_a_mask_of_ones_too():
    model = llama("flex_attention")
    assert deviation(model, use_cache=False) < 2e-5, TRANSFORMERS
    assert deviation(model, use_cache=False, attention_mask=torch.ones_like(PACKED.tokens)) > 0.1, TRANSFORMERS


def test_gradient_checkpointing_switches_the_leak_off():
    model = llama()
    model.gradient_checkpointing_enable()
    assert deviation(model.train()) < 2e-5, TRANSFORMERS
    assert model(PACKED.tokens, position_ids=PACKED.positions).past_key_values is None, TRANSFORMERS
    assert llama()(PACKED.tokens, position_ids=PACKED.positions).past_key_values is not None, TRANSFORMERS


def test_boundaries_are_found_where_positions_restart():
    running = torch.arange(19)[None]
    assert deviation(llama(), position_ids=running, use_cache=False) > 0.1, TRANSFORMERS


def test_rotary_positions_need_no_restart_under_our_mask():
    ours = document_mask(PACKED.documents)[:, None]
    assert deviation(llama(), position_ids=torch.arange(19)[None], attention_mask=ours, use_cache=False) < 2e-5, TRANSFORMERS


def test_a_multimodal_row_needs_text_positions_in_front():
    torch.manual_seed(0)
    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4)
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    tokens = dict(vocab_size=31, pad_token_id=0, bos_token_id=None, eos_token_id=None)
    config = Qwen2_5_VLTextConfig(rope_parameters=rope, attn_implementation="sdpa", **tokens, **sizes)
    model = Qwen2_5_VLTextModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6)
        apart = torch.cat([model(x[None], use_cache=False).last_hidden_state[0] for x in DOCUMENTS])
        one, three, four = (
            (model(PACKED.tokens, position_ids=positions, use_cache=False).last_hidden_state[0] - apart).abs().max()
            for positions in (PACKED.positions, PACKED.positions.expand(3, 1, -1), PACKED.positions.expand(4, 1, -1))
        )
    assert min(one, three) > 0.1 and four < 2e-5, TRANSFORMERS


def test_the_collator_drops_each_first_token_and_the_model_shifts():
    batch = DataCollatorWithFlattening(return_flash_attn_kwargs=True)([{"input_ids": x.tolist()} for x in DOCUMENTS])
    assert set(batch).isdisjoint({"attention_mask"}) and batch["input_ids"].shape == (1, 19), TRANSFORMERS
    assert torch.equal(batch["position_ids"], PACKED.positions), TRANSFORMERS
    assert ((batch["labels"] == NO_LABEL) == (PACKED.positions == 0)).all(), TRANSFORMERS
    bounds = cumulative_lengths(torch.tensor([7, 11, 1]))
    assert torch.equal(batch["cu_seq_lens_q"], bounds) and batch["cu_seq_lens_q"].dtype == torch.int32, TRANSFORMERS
    model = llama()
    with torch.no_grad():
        logits = model(PACKED.tokens, position_ids=PACKED.positions, use_cache=False).logits[0]
        want = cross_entropy(logits, PACKED.labels[0], ignore_index=NO_LABEL)
        once, twice = (
            model(PACKED.tokens, position_ids=PACKED.positions, labels=labels, use_cache=False).loss
            for labels in (batch["labels"], PACKED.labels)
        )
    torch.testing.assert_close(once, want, msg=TRANSFORMERS)
    assert (twice - want).abs() > 0.01, TRANSFORMERS


def test_the_loss_is_a_token_mean_or_a_sum_over_a_given_number():
    model, call = llama(), dict(position_ids=PACKED.positions, use_cache=False)
    labels = torch.where(PACKED.positions == 0, NO_LABEL, PACKED.tokens)
    with torch.no_grad():
        mean = model(PACKED.tokens, labels=labels, **call).loss
        given = model(PACKED.tokens, labels=labels, num_items_in_batch=torch.tensor(100), **call).loss
        apart = [model(x[None], labels=x[None]).loss for x in DOCUMENTS[:2]]
    torch.testing.assert_close(mean, (6 * apart[0] + 10 * apart[1]) / 16, msg=TRANSFORMERS)
    torch.testing.assert_close(given, mean * 16 / 100, msg=TRANSFORMERS)


def test_padding_is_taken_out_and_put_back_alike():
    real = torch.arange(7) < torch.tensor([3, 7, 2])[:, None]
    x = torch.randn(3, 7, 4, generator=GENERATOR)
    tokens, indices, bounds, longest, _ = _unpad_input(x, real.long())
    assert torch.equal(tokens, unpad(x, real)) and longest == 7, TRANSFORMERS
    assert torch.equal(bounds, cumulative_lengths(real.sum(1))) and bounds.dtype == torch.int32, TRANSFORMERS
    assert torch.equal(_pad_input(tokens, indices, 3, 7), pad(tokens, real)), TRANSFORMERS


def test_varlen_attention_is_not_causal_by_default():
    arguments = inspect.signature(varlen_attn).parameters
    assert "is_causal" not in arguments and arguments["window_size"].default == (-1, -1), TORCH
    assert "(-1, 0)" in varlen_attn.__doc__ and "dtype=torch.int32" in varlen_attn.__doc__, TORCH
    q, bounds = torch.randn(5, 2, 8), torch.tensor([0, 2, 5], dtype=torch.int32)
    with pytest.raises(NotImplementedError):
        varlen_attn(q, q, q, bounds, bounds, 3, 3)
