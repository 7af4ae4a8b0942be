"""From a checkpoint to a frozen network whose every weight comes from the checkpoint, or to its random twin.

A network is loaded by the first of these that there is: the checkpoint's own code, where the user allowed it (a family
of ours needs `?code=own` besides); a network of ours, for `families`; transformers' class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glmbench.errors import DataError, UsageError
from glmbench.models.huggingface.checkpoint import Checkpoint, code_refusal
from glmbench.models.huggingface.families import known_families, recognise
from glmbench.models.huggingface.network import LoadedNetwork
from glmbench.models.huggingface.roles import Report, classes, from_pretrained_arguments, stated_role
from glmbench.networks.quiet import quiet

if TYPE_CHECKING:
    from glmbench.models.huggingface.families.family import Family, Role

_OWN_CODE = "transformers_modules"
"""The package that transformers imports checkpoints' own code into."""


def native_family(checkpoint: Checkpoint) -> Family | None:
    """The family whose network of ours runs this checkpoint; None for others, and with `?code=own`."""
    return None if checkpoint.code == "own" else recognise(checkpoint.read_json("config.json"))


def read_config(checkpoint: Checkpoint, reference: str) -> Any:
    """The configuration: transformers', or ours for a checkpoint of `families`.

    Raises:
        UsageError: the architecture is the checkpoint's own code, which may not run.
        DataError: transformers does not know the architecture.
    """
    from transformers import AutoConfig

    family = native_family(checkpoint)
    if family is not None:
        return family.make_config(checkpoint.read_json("config.json"))
    try:
        with quiet():
            return AutoConfig.from_pretrained(checkpoint.folder, **from_pretrained_arguments(checkpoint))
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

    family = native_family(checkpoint)
    if family is not None and family.make_tokenizer is not None and not checkpoint.files(("tokenizer.json",)):
        return family.make_tokenizer(checkpoint.read_json("tokenizer_config.json"))
    if (
        "AutoTokenizer" in checkpoint.own_code()
        and not checkpoint.trust_remote_code
        and not checkpoint.files(("tokenizer.json",))
    ):
        raise UsageError(code_refusal(checkpoint, reference))
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(checkpoint.folder, **from_pretrained_arguments(checkpoint))
    except Exception as error:  # tokenizers raises bare Exceptions for a broken tokenizer.json
        raise DataError(
            f"{reference}: transformers cannot read the tokenizer in {checkpoint.folder}: {error}"
        ) from error


def load_network(checkpoint: Checkpoint, config: Any, reference: str) -> LoadedNetwork:
    """The network with the head that the checkpoint has: in float32, in evaluation mode, without gradients, on the CPU.

    The head is what `architectures` in config.json says, if its weights are there, else one whose weights are there.
    Weights are read from safetensors, or by `torch.load(weights_only=True)`, which runs no code of the file.

    Raises:
        DataError: the file is truncated, holds pickled code, or is of another architecture than the configuration says:
            weights of the body or of the head are missing, left over, or of another shape.
    """
    from glmbench.models.huggingface.assembly import assemble
    from glmbench.models.huggingface.keys import check_keys, head_weights, left_over

    where = f"{reference}: {checkpoint.folder}"
    available = classes(checkpoint, config, native_family(checkpoint))
    stated = stated_role(checkpoint, available)
    network, report = available[stated].load(where)
    advice = _advice(checkpoint, reference, report)
    check_keys(network, report, where, advice, head=False)
    there, missing = head_weights(network, report)
    if stated != "states" and (there or not missing):
        check_keys(network, report, where, advice, head=True)
        return assemble(network, stated)
    unused = left_over(report)
    others: tuple[Role, ...] = ("masked", "causal") if unused else ()  # a classifier says itself that it is one
    for role in others:
        if role == stated or role not in available:
            continue
        headed, its_report = available[role].load(where)
        there, missing = head_weights(headed, its_report)
        if there and not missing:
            check_keys(headed, its_report, where, advice, head=True)
            return assemble(headed, role)
    return assemble(network, "states")


def random_network(checkpoint: Checkpoint, config: Any, seed: int) -> LoadedNetwork:
    """The architecture of `load_network`, with the head that `architectures` in config.json says.

    Initialised by its own rule from `seed`; leaves torch's generator alone.
    """
    import torch

    from glmbench.models.huggingface.assembly import assemble

    available = classes(checkpoint, config, native_family(checkpoint))
    role = stated_role(checkpoint, available)
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the processor's alone: fresh weights are drawn there
        network = available[role].make()
    return assemble(network, role)


def implementation(network: LoadedNetwork, tokenizer: Any, config: Any) -> list[Any]:
    """What runs the files, for a fingerprint: the network's module and class, and whether any code is the checkpoint's.

    Modules of a checkpoint's own code count by their last name: the rest is where transformers happened to copy them.
    """
    wholes = (network.classifier, network.flanks, getattr(network.head, "network", None))
    whole = next((part for part in wholes if part is not None), network.body)
    owners = [type(part).__module__ for part in (whole, network.body, tokenizer, config)]
    remote = any(owner.startswith(f"{_OWN_CODE}.") for owner in owners)
    module = owners[0].rpartition(".")[2] if owners[0].startswith(f"{_OWN_CODE}.") else owners[0]
    return [module, type(whole).__qualname__, remote]


def _advice(checkpoint: Checkpoint, reference: str, report: Report) -> str:
    """What to do about weights that do not fit."""
    if native_family(checkpoint) is not None and checkpoint.own_code():
        return "config.json and weights are of different models; or run the checkpoint's own code with ?code=own"
    for family in known_families():
        part, field = family.sign or ("", "")
        if part and any(part in name for name in report.unexpected):
            return f"the weights are {family.name}'s: put {field} back into config.json, and they are loaded natively"
    if checkpoint.own_code() and not checkpoint.trust_remote_code:
        return code_refusal(checkpoint, reference)
    return "config.json and weights are of different models"
