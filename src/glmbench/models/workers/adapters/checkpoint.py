"""A Hugging Face checkpoint through the transformers of its own environment, whatever version that is.

For checkpoints whose code or classes want other packages than ours. Sequences go through one by one: slow, but right
for networks that know no padding. Needs torch and transformers; the standard library of Python 3.8.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

READ = ("*.json", "*.txt", "*.model", "*.py", "*.safetensors", "*.bin")
_NO_LIMIT = 1_000_000
"""Tokenizers that state no context state 10^30."""


class Checkpoint:
    """States of one layer, pooled over the tokens that stand for bases."""

    def __init__(self, checkpoint: str, revision: str, remote_code: bool, layer: int, pool: str) -> None:
        if pool not in ("mean", "max", "cls"):
            raise ValueError(f"pool is {pool!r}, wanted mean, max or cls")
        import torch
        import transformers

        folder = Path(checkpoint) if Path(checkpoint).is_dir() else _download(checkpoint, revision)
        self._layer, self._pool = layer, pool
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), trust_remote_code=remote_code)
        network, info = transformers.AutoModel.from_pretrained(
            str(folder), trust_remote_code=remote_code, output_loading_info=True
        )
        missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)
        if missing:
            raise ValueError(f"{checkpoint} lacks {len(missing)} weights of its network: {', '.join(missing[:3])} …")
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.eval().to(self._device)
        self.passes = 0
        self.files = sorted(path for pattern in READ for path in folder.glob(pattern))
        self.parameters = sum(weight.numel() for weight in network.parameters())
        self.tokenizer = type(self._tokenizer).__name__
        longest = self._tokenizer.model_max_length
        self.context = longest if longest < _NO_LIMIT else None
        self.description = f"through transformers {transformers.__version__}, torch {torch.__version__}"

    def embed(self, sequences: list[str]) -> Any:
        """Features of shape (n, dim)."""
        return np.stack([self._embed_one(sequence.upper()) for sequence in sequences])

    def _embed_one(self, sequence: str) -> Any:
        import torch

        read = self._tokenizer(sequence, return_special_tokens_mask=True)
        ids = read["input_ids"]
        if self.context is not None and len(ids) > self.context:
            raise NotImplementedError(f"a sequence has {len(ids)} tokens, the context is {self.context}")
        bases = np.array(read["special_tokens_mask"]) == 0
        with torch.no_grad():
            states = self._states(torch.tensor([ids], device=self._device))[0].float().cpu().numpy()
        self.passes += 1
        if self._pool == "cls":
            return states[0]
        if not bases.any():
            return np.zeros(states.shape[1], dtype=np.float32)
        return states[bases].mean(axis=0) if self._pool == "mean" else states[bases].max(axis=0)

    def _states(self, ids: Any) -> Any:
        """(1, tokens, dim): code of the hub may know neither the argument nor the field of its answer."""
        if self._layer == -1:
            return self._network(ids)[0]
        return self._network(ids, output_hidden_states=True)["hidden_states"][self._layer]


def _download(checkpoint: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(checkpoint, revision=revision or None, allow_patterns=list(READ)))
