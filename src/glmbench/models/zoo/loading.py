"""Models of the zoo: `zoo:NAME[@revision][?key=value&…]`."""

from __future__ import annotations

from glmbench.errors import Unsupported, UsageError
from glmbench.models.model import Model
from glmbench.models.reference import ModelReference
from glmbench.models.zoo.zoo import load_card, resolve


def load_zoo(reference: ModelReference, *, trust_remote_code: bool = False, offline: bool = False) -> Model:
    """The model of a card, by the reference that the card stands for.

    Raises:
        UsageError: there is no such model, or it needs code of its own that may not run.
        Unsupported: it does not run here; the message says why.
        MissingData: as `hf:`.
        DataError: as `hf:`.
    """
    from glmbench.models import registry

    card, resolved = load_card(reference.locator), resolve(reference)
    if resolved is None:
        raise Unsupported(f"{reference}: {card.title} does not run here: {card.reason}")
    if card.runs == "remote code" and not trust_remote_code:
        needs = f" and the packages {', '.join(card.packages)}" if card.packages else ""
        pin = "" if resolved.revision else "; pin its revision: @ and 40 hexadecimal digits"
        raise UsageError(
            f"{reference}: {card.title} runs by Python code of its own, from https://huggingface.co/{resolved.locator}"
            f"{f'/tree/{resolved.revision}' if resolved.revision else ''}; read it, then allow it with "
            f"--trust-remote-code{needs}{pin}"
        )
    return registry.load(str(resolved), trust_remote_code=trust_remote_code, offline=offline)
