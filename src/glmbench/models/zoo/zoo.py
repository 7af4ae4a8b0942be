"""All cards, by name and by repository of the hub. A file holds what a family shares, and a table for each model."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

from glmbench.errors import UsageError
from glmbench.models.reference import ModelReference, close_matches
from glmbench.models.zoo.card import ZooCard


def names() -> tuple[str, ...]:
    """Names of all models, families together."""
    return tuple(_cards())


def load_card(name: str) -> ZooCard:
    """The card of a model.

    Raises:
        UsageError: there is none of this name; the message has near ones.
    """
    if name not in _cards():
        raise UsageError(
            f"the zoo has no model {name!r}{close_matches(name, list(_cards()))}; `glmbench ls models` lists them"
        )
    return _cards()[name]


def card_of(hub_id: str) -> ZooCard | None:
    """The card of a repository of the hub, upper and lower case alike; None where the zoo does not have it."""
    wanted = hub_id.lower()
    return next((card for card in _cards().values() if (card.repository or "").lower() == wanted), None)


def resolve(reference: ModelReference) -> ModelReference | None:
    """What a `zoo:` reference stands for: the card's own, over which a given revision and options win.

    None where the model does not run here.

    Raises:
        UsageError: there is no such model.
    """
    ours = load_card(reference.locator).reference
    if ours is None:
        return None
    options = {**ours.options, **reference.options}
    if ours.scheme == "worker":  # there a revision is an option like others
        revision = {"revision": reference.revision} if reference.revision else {}
        return ModelReference(ours.scheme, ours.locator, None, {**revision, **options})
    return ModelReference(ours.scheme, ours.locator, reference.revision or ours.revision, options)


@cache
def _cards() -> dict[str, ZooCard]:
    folder = resources.files("glmbench.models.zoo") / "cards"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    cards: dict[str, ZooCard] = {}
    for file in files:
        shared = tomllib.loads(file.read_text(encoding="utf-8"))
        for own in shared.pop("models"):
            card = ZooCard.model_validate({**shared, **own})
            if card.name in cards:
                raise ValueError(f"{file.name}: {card.name} has two cards")
            cards[card.name] = card
    return cards
