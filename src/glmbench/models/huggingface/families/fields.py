"""Fields of a `config.json` that change no number, so that any other is followed, refused or spoken of."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Mapping
from typing import Any

from glmbench.errors import Unsupported

_HARMLESS = frozenset((
    # what the checkpoint is, and who wrote it
    "architectures", "auto_map", "model_type", "transformers_version", "torch_dtype", "dtype", "tokenizer_class",
    "finetuning_task", "task_specific_params", "license", "name",
    # what is shown and kept, and how it is computed
    "use_cache", "gradient_checkpointing", "output_attentions", "output_hidden_states", "return_dict", "torchscript",
    "chunk_size_feed_forward", "attn_implementation", "initializer_range",
    # what stands on the states, where the network has such a head
    "id2label", "label2id", "num_labels", "problem_type",
    # how text is generated
    "max_length", "min_length", "num_beams", "num_beam_groups", "diversity_penalty", "temperature", "top_k", "top_p",
    "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size",
    "num_return_sequences",
))  # fmt: skip
_HARMLESS_NAME = re.compile(r"^_|dropout|_token_id$")
"""Notes of transformers, what happens in training only, and ids of tokens, which the tokenizer gives."""


def check_fields(config: Mapping[str, Any], name: str, taken: Collection[str], fixed: Mapping[str, Any]) -> None:
    """Refuse what would give other numbers than the network here, and warn of what nobody knows.

    A released file may have a field that says nothing and that is not in our lists; weights are checked by name and
    shape anyway, so an unknown field is no reason to refuse the model.

    Args:
        config: the released `config.json`.
        name: the family, for messages.
        taken: fields that are followed, and those known to say nothing in this family.
        fixed: fields that must have this value where they are there.

    Raises:
        Unsupported: a field has another value than it must.

    Warns:
        UserWarning: a field is unknown; one that is empty or off is none.
    """
    odd = {key: config[key] for key, value in fixed.items() if config.get(key, value) not in (value, None)}
    if odd:
        raise Unsupported(
            f"this config.json of a {name} says {odd}; released ones say { {key: fixed[key] for key in odd} }, "
            "and that is what runs here"
        )
    known = {*taken, *fixed, *_HARMLESS}
    unknown = {
        key: value
        for key, value in config.items()
        if key not in known and not _HARMLESS_NAME.search(key) and value not in (None, False, "", [], {})
    }
    if unknown:
        warnings.warn(
            f"this config.json of a {name} has fields that the network here does not know: {unknown}; if they change "
            "numbers, run the checkpoint's own code with ?code=own",
            stacklevel=2,
        )
