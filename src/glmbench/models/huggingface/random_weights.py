"""The control of a pre-trained model: its architecture and tokenizer with fresh weights. `random:PATH-or-hub-id`."""

from __future__ import annotations

from typing import cast

from glmbench.models.huggingface.checkpoint import locate
from glmbench.models.huggingface.checkpoint_card import describe
from glmbench.models.huggingface.encoder import EMBEDDING_VERSION, HuggingFaceModel, Settings
from glmbench.models.huggingface.loading import make_model
from glmbench.models.huggingface.network import LoadedNetwork
from glmbench.models.huggingface.weights import implementation, random_network, read_config, read_tokenizer
from glmbench.models.reference import ModelReference, Options
from glmbench.storage.hashing import sha256_json


def load_random_weights(
    reference: ModelReference, *, trust_remote_code: bool = False, offline: bool = False
) -> HuggingFaceModel:
    """The random twin of the `hf:` model with the same locator, revision and options.

    Weights are drawn by the architecture's own initialisation from option `seed` (default 0). The fingerprint covers
    the weights that were drawn, so another version of the initialisation is another model. No weight is read or
    downloaded; names and shapes of a folder's weights tell which head there is, see `weights.random_network`.

    Raises:
        UsageError, MissingData, DataError: as `huggingface.load_huggingface`.
    """
    options = Options(reference)
    settings = Settings.take(options)
    seed = cast(int, options.integer("seed", 0, least=0))
    options.finish()
    text = str(reference)
    checkpoint = locate(reference, trust_remote_code=trust_remote_code, offline=offline, weights=False)
    config = read_config(checkpoint, text)
    tokenizer = read_tokenizer(checkpoint, text)
    network = random_network(checkpoint, config, seed)
    code = implementation(network, tokenizer, config)
    content = ["random", checkpoint.content_hash(weights=False), _state_hash(network), code, EMBEDDING_VERSION]
    card = describe(checkpoint, reference, sha256_json(content))
    update = {
        "name": f"{card.name}, random weights" + (f" {seed}" if seed else ""),
        "kind": "control",
        "description": f"architecture and tokenizer of {card.name}, weights initialised from seed {seed}",
        "pretraining": {},
    }
    return make_model(network, tokenizer, config, settings, card.model_copy(update=update))


def _state_hash(network: LoadedNetwork) -> str:
    """SHA-256 of all weights, those of heads included."""
    from hashlib import sha256

    digest = sha256()
    for number, module in enumerate((network.body, network.head, network.classifier, network.flanks)):
        for name, tensor in sorted(module.state_dict().items() if module is not None else ()):
            digest.update(f"{number} {name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.contiguous().numpy())
    return digest.hexdigest()
