"""Whether a model saw a task's species in pre-training, as its card says.

Species have many spellings: `Homo sapiens`, `Homo_sapiens.GRCh38`, `H. sapiens`, `human`, `hg38`. A name is read where
it begins with a binomial (a capital genus and an epithet; a one-letter genus stands for any with that initial) or with
one of a few common names; what follows is a strain or an assembly. Everything else, such as `multi-species (850
genomes)`, `Vertebrata (several species)` or a file called `corpus`, is free text.

A species that is read is `seen`. It is `not seen` only where the whole list could be read and lacks it: a list with
free text in it, an absent one, and a model that was trained on from another one are `unknown`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from glmbench.models.model import ModelCard
from glmbench.tasks.card import TaskCard

Contamination = Literal["seen", "not seen", "unknown"]

_COMMON = {
    "Homo sapiens": ("human", "humans", "hg18", "hg19", "hg38", "grch37", "grch38", "t2t", "chm13"),
    "Mus musculus": ("mouse", "mice", "mm9", "mm10", "mm39", "grcm38", "grcm39"),
    "Rattus norvegicus": ("rat",),
    "Danio rerio": ("zebrafish",),
    "Drosophila melanogaster": ("fruit fly", "fly", "dm3", "dm6"),
    "Caenorhabditis elegans": ("nematode", "worm", "ce10", "ce11"),
    "Saccharomyces cerevisiae": ("yeast", "baker's yeast", "budding yeast", "saccer3"),
    "Schizosaccharomyces pombe": ("fission yeast",),
    "Arabidopsis thaliana": ("arabidopsis", "thale cress", "tair10"),
    "Zea mays": ("maize",),
    "Oryza sativa": ("rice",),
    "Escherichia coli": ("ecoli", "e coli"),
    "SARS-CoV-2": ("sars cov 2", "sars cov2", "severe acute respiratory syndrome coronavirus 2", "2019 ncov"),
}
_NAMES = {name: species for species, names in _COMMON.items() for name in names} | {
    species.lower().replace("-", " "): species for species in _COMMON
}
_LONGEST_NAME = max(len(name.split()) for name in _NAMES)
_GENUS, _EPITHET = re.compile(r"[A-Z][a-z]*"), re.compile(r"[a-z]{3,}(-[a-z]+)*")
_NO_EPITHETS = frozenset({
    "all", "and", "assemblies", "assembly", "chromosome", "chromosomes", "contigs", "corpus", "data", "dataset",
    "domains", "family", "files", "from", "genera", "genome", "genomes", "genomic", "genus", "many", "mixed",
    "of", "order", "other", "others", "plus", "reads", "reference", "scaffolds", "sequence", "sequences",
    "several", "species", "strains", "test", "the", "train", "training", "various", "with",
})  # fmt: skip
"""Words that make no binomial of what stands before them."""
_MORE = frozenset({
    "close", "etc", "genera", "genomes", "kin", "more", "many", "other", "others", "relatives", "several",
    "species", "various",
})  # fmt: skip
"""Words after a name that say that it is not the only one."""


class SpeciesNames(NamedTuple):
    """The species that a text names, and whether all of it could be read."""

    names: frozenset[str]
    whole: bool


def contamination(model: ModelCard, task: TaskCard) -> Contamination | None:
    """Whether the model saw one of the task's species; None of controls, fresh weights, and simulated tasks."""
    if model.kind == "control" or model.weights == "fresh" or task.parameters:
        return None
    stated = model.pretraining.get("species", model.pretraining.get("trained_on"))
    seen, wanted = _listed(stated), read_species(task.species)
    if any(_same(a, b) for a in seen.names for b in wanted.names):
        return "seen"
    complete = seen.whole and wanted.whole and "base_model" not in model.pretraining
    return "not seen" if complete else "unknown"


def read_species(texts: Iterable[str]) -> SpeciesNames:
    """What a list of species names; whole where it has entries and each could be read (the module says how)."""
    read = [_name(part) for text in texts for part in re.split(r"[,;/+&]| and | with ", text)]
    names = frozenset(name for name, _ in read if name is not None)
    return SpeciesNames(names, bool(read) and all(name is not None and alone for name, alone in read))


def _listed(stated: Any) -> SpeciesNames:
    """What a card states, a list or one text; anything else names nothing."""
    texts = [stated] if isinstance(stated, str) else stated if isinstance(stated, list | tuple) else []
    return read_species(text for text in texts if isinstance(text, str))


def _name(text: str) -> tuple[str | None, bool]:
    """The name that a text begins with, and whether nothing after it speaks of others."""
    words = re.sub(r"[_.()\s]+", " ", text).split()
    plain = " ".join(words).lower().replace("-", " ").split()
    alone = _MORE.isdisjoint(plain)
    for count in range(min(_LONGEST_NAME, len(plain)), 0, -1):
        if (name := _NAMES.get(" ".join(plain[:count]))) is not None:
            return name, alone
    if len(words) > 1 and _GENUS.fullmatch(words[0]) and _EPITHET.fullmatch(words[1]) and words[1] not in _NO_EPITHETS:
        return f"{words[0]} {words[1]}", alone
    return None, False


def _same(a: str, b: str) -> bool:
    """Whether two names are of one species, where either genus may be an initial."""
    (genus, _, epithet), (other, _, its) = a.partition(" "), b.partition(" ")
    return epithet == its and (genus == other or (1 in (len(genus), len(other)) and genus[0] == other[0]))
