"""What the chapter on Medusa says of transformers."""

import torch
import transformers
from scipy.stats import chisquare
from transformers.generation.candidate_generator import AssistedCandidateGenerator
from transformers.generation.stopping_criteria import ConfidenceCriteria
from transformers.generation.utils import _speculative_sampling

PAGE = "book/language-models/medusa.ipynb, section In production"
TRANSFORMERS = f"transformers {transformers.__version__} (5.23.0 on the page): mend the row in {PAGE}"
TARGET, DRAFT = torch.tensor([0.42, 0.26, 0.16, 0.10, 0.06]), torch.tensor([0.22, 0.40, 0.20, 0.06, 0.12])
RUNS = 6000


def llama(seed, layers=1):
    torch.manual_seed(seed)
    small = dict(vocab_size=5, hidden_size=16, intermediate_size=16, num_attention_heads=2, num_key_value_heads=2)
    config = transformers.LlamaConfig(**small, num_hidden_layers=layers, bos_token_id=None, eos_token_id=None, pad_token_id=0)
    model = transformers.LlamaForCausalLM(config).eval()
    torch.nn.init.normal_(model.lm_head.weight)
    return model


def shares(**options):
    """How often each token comes out in the place of one drafted token, and how often the draft stays."""
    torch.manual_seed(0)
    counts, kept = torch.zeros(5), 0
    for token in torch.multinomial(DRAFT, RUNS, replacement=True):
        laws = TARGET.log().expand(1, 2, 5)
        new, matches = _speculative_sampling(token[None, None], DRAFT.log()[None, None], 1, laws, **options)
        counts[new[0, 0]] += 1
        kept += int(matches)
    return counts, kept / RUNS


def test_speculative_sampling_has_the_law_of_the_target():
    counts, kept = shares()
    assert chisquare(counts, TARGET / TARGET.sum() * RUNS, sum_check=False).pvalue > 1e-4, TRANSFORMERS
    assert abs(kept - float(torch.minimum(TARGET, DRAFT).sum())) < 0.03, TRANSFORMERS


def test_an_ensemble_weight_mixes_the_laws():
    counts, kept = shares(assistant_ensemble_weight=0.5)
    mixed = (TARGET + DRAFT) / 2
    assert chisquare(counts, mixed / mixed.sum() * RUNS, sum_check=False).pvalue > 1e-4, TRANSFORMERS
    assert chisquare(counts, TARGET * RUNS, sum_check=False).pvalue < 1e-9, TRANSFORMERS
    assert abs(kept - (1 - 0.5 * float((TARGET - DRAFT).clamp(min=0).sum()))) < 0.03, TRANSFORMERS
    assert transformers.GenerationConfig().assistant_ensemble_weight is None, TRANSFORMERS


def test_a_draft_has_up_to_twenty_tokens_and_stops_when_it_is_unsure(monkeypatch):
    model, assistant, seen, unsure = llama(0), llama(1), [], []
    ask, stop = AssistedCandidateGenerator.get_candidates, ConfidenceCriteria.__call__

    def watched(self, input_ids, *others, **named):
        candidates = ask(self, input_ids, *others, **named)
        seen.append(candidates[0].shape[1] - input_ids.shape[1])
        return candidates

    def judged(self, input_ids, scores, **named):
        unsure.append((self.assistant_confidence_threshold, stop(self, input_ids, scores, **named)))
        return unsure[-1][1]

    monkeypatch.setattr(AssistedCandidateGenerator, "get_candidates", watched)
    monkeypatch.setattr(ConfidenceCriteria, "__call__", judged)
    prompt = torch.tensor([[1, 2, 3]])
    written = model.generate(prompt, assistant_model=assistant, max_new_tokens=60, do_sample=False)
    assert written.tolist() == model.generate(prompt, max_new_tokens=60, do_sample=False).tolist()
    assert unsure and {threshold for threshold, _ in unsure} <= {0.4}, TRANSFORMERS
    assert max(seen) <= 20, TRANSFORMERS
    monkeypatch.setattr(ConfidenceCriteria, "__call__", lambda self, *others, **named: False)
    seen.clear()
    model.generate(prompt, assistant_model=assistant, max_new_tokens=60, do_sample=False)
    assert max(seen) == 20, TRANSFORMERS


def test_the_token_that_stops_a_draft_stays_in_it():
    unsure = torch.tensor([[0.39, 0.61]]).log()
    assert ConfidenceCriteria(0.4)(torch.tensor([[0]]), (unsure,)), TRANSFORMERS
    assert not ConfidenceCriteria(0.4)(torch.tensor([[1]]), (unsure,)), TRANSFORMERS


def test_a_copied_guess_is_kept_when_the_draw_gives_it():
    model, prompt = llama(2), torch.tensor([[1, 2, 3, 4, 1, 2]])
    law = model(prompt).logits[0, -1].softmax(-1).detach()
    torch.manual_seed(3)
    first = torch.zeros(5)
    for _ in range(300):
        first[model.generate(prompt, prompt_lookup_num_tokens=2, max_new_tokens=3, do_sample=True, top_k=0)[0, 6]] += 1
    rare = law * 300 < 5
    counts = torch.cat([first[~rare], first[rare].sum()[None]]) if rare.any() else first
    expected = torch.cat([law[~rare], law[rare].sum()[None]]) if rare.any() else law
    assert chisquare(counts, expected / expected.sum() * 300, sum_check=False).pvalue > 1e-4, TRANSFORMERS
