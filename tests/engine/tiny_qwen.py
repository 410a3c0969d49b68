"""A Qwen2 model that a test makes in a second: random weights, a tokenizer trained on the sample knowledge, and a chat
template of Qwen2.5's form. It says nonsense, but through the same classes, tokens and constraints as a real one.

    python -m tests.engine.tiny_qwen DIR
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from knowledge.samples import SAMPLE_SOURCES

VOCABULARY = 3000
CONTEXT = 4096
HIDDEN = 128
HEADS = 2
"""vLLM's attention on a CPU wants a head of 32, 64 or 128."""
LAYERS = 2
SEED = 7

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# Of one token each, but not special: they are part of what the model says and must survive decoding.
ADDED = ("<tool_call>", "</tool_call>")

# The form of Qwen2.5: each message between <|im_start|>role and <|im_end|>, functions listed in the system message.
CHAT_TEMPLATE = (
    "{%- if messages[0]['role'] == 'system' %}{% set said = messages[0]['content'] %}{% set rest = messages[1:] %}"
    "{%- else %}{% set said = '' %}{% set rest = messages %}{% endif %}"
    "{{- '<|im_start|>system\n' + said }}"
    "{%- if tools %}{{ '\n\n# Tools\n\n<tools>' }}"
    "{%- for tool in tools %}{{ '\n' + tool | tojson }}{% endfor %}{{ '\n</tools>' }}{% endif %}"
    "{{- '<|im_end|>\n' }}"
    "{%- for message in rest %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] }}"
    "{{- '<|im_end|>\n' }}{% endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def make(folder: Path) -> Path:
    """Writes model, tokenizer and template; the same bytes every time. Needs torch and transformers."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    ends = _write_tokenizer(folder)
    torch.manual_seed(SEED)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=ends,
        pad_token_id=0,
    )
    model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    # As Qwen2.5-Instruct has it: <|endoftext|> is an end beside <|im_end|>, and stands in no tokenizer setting.
    model.generation_config.eos_token_id = [ends, 0]
    model.save_pretrained(folder)
    return folder


def _write_tokenizer(folder: Path) -> int:
    """A byte-level BPE tokenizer; returns the id of <|im_end|>, which ends an answer."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    # A quotation mark is a token of its own. Else a good part of the few tokens that can begin a string would end it as
    # well, and most outputs at random would be empty.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split('"', "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(ADDED),
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    folders = [folder for sources in SAMPLE_SOURCES.values() for folder in sources]
    files = sorted(file for folder in folders for file in folder.rglob("*") if file.suffix in (".csv", ".md"))
    texts = (file.read_text(encoding="utf-8") for file in files)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in ADDED])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": CONTEXT,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, ensure_ascii=False, indent=1), encoding="utf-8")
    ends = tokenizer.token_to_id("<|im_end|>")
    assert isinstance(ends, int)
    return ends


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
