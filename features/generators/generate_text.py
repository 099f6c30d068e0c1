"""Texts written by a local causal language model through transformers (for synthetic posts)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from features.device import torch_dtype
from features.errors import FeatureError
from features.weights import folder_digest, is_local, loading, model_of, part_of, quiet_transformers


class LocalWriter:
    """Continues a prompt by sampling; a seed decides the text on one machine, whatever was written before.

    `label` is the folder's name and the digest of its weights. `failures` stays empty: local weights do not fail in
    passing.
    """

    def __init__(self, model: Any, tokenizer: Any, label: str, temperature: float, max_new_tokens: int) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._temperature = temperature
        self._max_new_tokens = max_new_tokens
        self.label = label
        self.failures: Counter[str] = Counter()

    def write(self, system: str, user: str, seed: int) -> tuple[str, bool]:
        """The text that follows the prompt, and whether the length limit cut it."""
        import torch

        tokens = self._layout(system, user)
        end = self._tokenizer.eos_token_id
        devices = [self._model.device] if self._model.device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.inference_mode():
            torch.manual_seed(seed)
            sequence = self._model.generate(
                **tokens,
                do_sample=True,
                temperature=self._temperature,
                top_k=0,
                top_p=0.95,
                max_new_tokens=self._max_new_tokens,
                pad_token_id=end if self._tokenizer.pad_token_id is None else self._tokenizer.pad_token_id,
            )[0]
        written = sequence[tokens["input_ids"].shape[1] :].tolist()
        cut = len(written) >= self._max_new_tokens and written[-1] != end
        return self._tokenizer.decode(written, skip_special_tokens=True), cut

    def _layout(self, system: str, user: str) -> dict[str, Any]:
        """The prompt as the tokenizer's own chat template has it; without one, plain paragraphs."""
        if getattr(self._tokenizer, "chat_template", None):
            turns = [{"role": "system", "content": system}, {"role": "user", "content": user}]
            try:
                prompt = self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
            except Exception:
                # some templates refuse a system turn
                turns = [{"role": "user", "content": f"{system}\n\n{user}"}]
                prompt = self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
            special = False
        else:
            prompt, special = f"{system}\n\n{user}\n\n", True
        room = self._room()
        tokens = self._tokenizer(prompt, return_tensors="pt", add_special_tokens=special)
        if room is not None and tokens["input_ids"].shape[1] > room:
            raise FeatureError(
                f"The prompt has {tokens['input_ids'].shape[1]} tokens and the model '{self.label}' has room for "
                f"{room} before its answer; use a model with a longer context."
            )
        return {name: tokens[name].to(self._model.device) for name in ("input_ids", "attention_mask")}

    def _room(self) -> int | None:
        longest = getattr(self._model.config, "max_position_embeddings", None)
        return None if longest is None else max(0, int(longest) - self._max_new_tokens)


def load_writer(
    folder: str, *, device: str, precision: str = "fp32", temperature: float = 1.0, max_new_tokens: int = 120
) -> LocalWriter:
    """The causal language model in a local folder in transformers' layout (config, tokenizer, safetensors).

    Raises `FeatureError` where the folder is not there or holds something else.
    """
    if not is_local(folder):
        raise FeatureError(f"There is no folder '{folder}' with a language model (--text-model).")
    import transformers

    quiet_transformers()

    def read() -> tuple[Any, Any]:
        tokenizer = part_of(transformers.AutoTokenizer, folder, local_files_only=True)
        model = model_of(
            transformers.AutoModelForCausalLM,
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch_dtype(precision),
        )
        return model, tokenizer

    model, tokenizer = loading("the language model", folder, read)
    label = f"{Path(folder).resolve().name}@{folder_digest(folder)[:8]}"
    return LocalWriter(model.eval().to(device), tokenizer, label, temperature, max_new_tokens)
