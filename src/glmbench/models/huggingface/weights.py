"""From a checkpoint to a frozen encoder whose every weight comes from the checkpoint, or to its random twin."""

from __future__ import annotations

import re
import warnings
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from glmbench.errors import DataError, UsageError
from glmbench.models.huggingface.checkpoint import SAFETENSORS, Checkpoint, code_refusal
from glmbench.networks.quiet import quiet

if TYPE_CHECKING:
    from torch import nn

_NO_PART_OF_STATES = re.compile(
    r"(^|\.)(pooler|contact_head|lm_head|cls|classifier|score|qa_outputs)\.|(position_ids|inv_freq)$"
)
"""Weights that hidden states do not depend on: heads, poolers, and buffers that old versions saved."""

_OWN_CODE = "transformers_modules"
"""The package that transformers imports checkpoints' own code into."""


def read_config(checkpoint: Checkpoint, reference: str) -> Any:
    """The transformers configuration.

    Raises:
        UsageError: the architecture is the checkpoint's own code, which may not run.
        DataError: transformers does not know the architecture.
    """
    from transformers import AutoConfig

    try:
        with quiet():
            return AutoConfig.from_pretrained(checkpoint.folder, **_arguments(checkpoint))
    except (ValueError, OSError, KeyError, ImportError) as error:
        if checkpoint.own_code() and not checkpoint.trust_remote_code:
            raise UsageError(code_refusal(checkpoint, reference)) from None
        raise DataError(
            f"{reference}: transformers cannot read {checkpoint.folder / 'config.json'}: {error}"
        ) from error


def read_tokenizer(checkpoint: Checkpoint, reference: str) -> Any:
    """The tokenizer.

    Raises:
        UsageError: it is the checkpoint's own code, which may not run.
        DataError: transformers cannot read it.
    """
    from transformers import AutoTokenizer

    if (
        "AutoTokenizer" in checkpoint.own_code()
        and not checkpoint.trust_remote_code
        and not checkpoint.files(("tokenizer.json",))
    ):
        raise UsageError(code_refusal(checkpoint, reference))
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(checkpoint.folder, **_arguments(checkpoint))
    except Exception as error:  # tokenizers raises bare Exceptions for a broken tokenizer.json
        raise DataError(
            f"{reference}: transformers cannot read the tokenizer in {checkpoint.folder}: {error}"
        ) from error


def load_weights(checkpoint: Checkpoint, config: Any, reference: str) -> nn.Module:
    """The encoder (or decoder stack) in float32, in evaluation mode.

    Weights are read from safetensors, or by `torch.load(weights_only=True)`, which runs no code of the file.

    Raises:
        DataError: the file is truncated, holds pickled code, or is of another architecture than the configuration says:
            weights that hidden states depend on are missing, left over, or of another shape.
    """
    import torch
    from safetensors import SafetensorError

    where = f"{reference}: {checkpoint.folder}"
    try:
        with quiet(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            module, report = _auto_class(checkpoint, config).from_pretrained(
                checkpoint.folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=bool(checkpoint.files(SAFETENSORS)),
                weights_only=True,
                output_loading_info=True,
                **_arguments(checkpoint),
            )
    except UnpicklingError as error:
        raise DataError(
            f"{where}: the .bin file holds more than plain tensors, and unpickling it could run code; "
            f"get the weights as safetensors ({str(error).splitlines()[0]})"
        ) from None
    except (SafetensorError, RuntimeError, ValueError, OSError, KeyError, EOFError) as error:
        raise DataError(f"{where}: the weights cannot be loaded: {error}; get the checkpoint again") from error
    _check_keys(module, report, where, checkpoint, reference)
    return _states_module(module, config)


def random_weights(checkpoint: Checkpoint, config: Any, seed: int) -> nn.Module:
    """The architecture of `load_weights`, initialised by its own rule from `seed`; leaves torch's generator alone."""
    import torch

    arguments = {key: value for key, value in _arguments(checkpoint).items() if key != "local_files_only"}
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the processor's alone: fresh weights are drawn there
        module = _auto_class(checkpoint, config).from_config(config, dtype=torch.float32, **arguments)
    return _states_module(module, config)


def implementation(network: nn.Module, tokenizer: Any, config: Any) -> list[Any]:
    """What runs the files, for a fingerprint: the network's module and class, and whether any code is the checkpoint's.

    Modules of a checkpoint's own code count by their last name: the rest is where transformers happened to copy them.
    """
    owners = [type(part).__module__ for part in (network, tokenizer, config)]
    remote = any(owner.startswith(f"{_OWN_CODE}.") for owner in owners)
    module = owners[0].rpartition(".")[2] if owners[0].startswith(f"{_OWN_CODE}.") else owners[0]
    return [module, type(network).__qualname__, remote]


def _arguments(checkpoint: Checkpoint) -> dict[str, Any]:
    arguments: dict[str, Any] = {"local_files_only": True, "trust_remote_code": checkpoint.trust_remote_code}
    if checkpoint.trust_remote_code and checkpoint.revision:
        arguments["code_revision"] = checkpoint.revision
    return arguments


def _auto_class(checkpoint: Checkpoint, config: Any) -> Any:
    from transformers import AutoModel, AutoModelForTextEncoding
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING

    if checkpoint.trust_remote_code and "AutoModel" in checkpoint.own_code():
        return AutoModel  # else a stock configuration would lead to stock code
    # It has the encoder halves of T5 and its kin; AutoModel would want a decoder's weights as well.
    return AutoModelForTextEncoding if type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING else AutoModel


def _states_module(module: Any, config: Any) -> nn.Module:
    if getattr(config, "is_encoder_decoder", False) and hasattr(module, "get_decoder"):
        module = module.get_encoder()
    frozen: nn.Module = module.eval().requires_grad_(False)
    return frozen


def _check_keys(module: Any, report: dict[str, Any], where: str, checkpoint: Checkpoint, reference: str) -> None:
    parts = {name for name, _ in module.named_children()}
    prefix = f"{module.base_model_prefix}."
    missing = sorted(key for key in report["missing_keys"] if not _NO_PART_OF_STATES.search(key))
    left_over = sorted(
        key
        for key in report["unexpected_keys"]
        if key.removeprefix(prefix).split(".")[0] in parts and not _NO_PART_OF_STATES.search(key)
    )
    if not missing and not left_over:
        return
    problems = [
        f"{len(keys)} weights {what} ({', '.join(keys[:3])}{', …' if keys[3:] else ''})"
        for keys, what in ((missing, "are missing"), (left_over, "have no place"))
        if keys
    ]
    advice = "config.json and weights are of different models"
    if checkpoint.own_code() and not checkpoint.trust_remote_code:
        advice = code_refusal(checkpoint, reference)
    raise DataError(f"{where}: the weights do not fit {type(module).__name__}: {'; '.join(problems)}; {advice}")
