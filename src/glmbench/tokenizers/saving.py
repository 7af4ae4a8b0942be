"""Tokenizers in Hugging Face's files: `tokenizer.json`, `tokenizer_config.json`, and `vocab.txt` of overlapping k-mers.

What is written, `transformers.AutoTokenizer.from_pretrained(folder)` reads and gives the same ids, with [CLS] and [SEP]
around them. Its text may be lower case, and U is read as T, as everywhere here. Overlapping k-mers no pre-tokenizer of
the format can cut: there it takes k-mers joined by blanks, and `tokenizer_config.json` says `"kmer": k`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glmbench.errors import DataError
from glmbench.storage.atomic import atomic_folder, write_text
from glmbench.tokenizers.tokenizer import SpecialTokens, Tokenizer

if TYPE_CHECKING:
    from glmbench.tokenizers.blocks import BlocksTokenizer
    from glmbench.tokenizers.character import CharacterTokenizer
    from glmbench.tokenizers.kmer import KmerTokenizer

FILE, CONFIG, VOCABULARY = "tokenizer.json", "tokenizer_config.json", "vocab.txt"
_WANTED = (
    "characters, overlapping k-mers (DNABERT), k-mers side by side (Nucleotide Transformer), BPE or unigram over "
    "A, C, G, T, as `glmbench tokenizer train` and DNABERT-2 write them"
)


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer from a folder (`tokenizer.json`, or a published `vocab.txt` of k-mers) or from such a file.

    Raises:
        DataError: there is none, it is broken, or it is of none of the kinds known here.
    """
    file = _find(path)
    if file.suffix == ".txt":
        return _kmers_of_vocabulary(file)
    saved = read_json(file)
    model = saved.get("model")
    kind = model.get("type") if isinstance(model, dict) else None
    # Old files name no type; a model with merges is BPE.
    if kind == "BPE" or (kind is None and isinstance(model, dict) and "merges" in model):
        from glmbench.tokenizers.bpe import BPETokenizer

        return BPETokenizer.from_file(file)
    if kind == "Unigram":
        from glmbench.tokenizers.unigram import UnigramTokenizer

        return UnigramTokenizer.from_file(file)
    if kind == "WordLevel":
        return _fixed(file, saved)
    raise DataError(f"{file}: its model is {kind or 'missing'}; want {_WANTED}")


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        DataError: it cannot be read or holds something else.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as a tokenizer: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{file} holds a JSON {type(value).__name__}, want the object of a {FILE}")
    return value


def write_files(
    folder: Path,
    tokenizer_json: str,
    vocabulary: Sequence[str],
    special: SpecialTokens,
    more: Mapping[str, Any] | None = None,
    *,
    further: Mapping[str, str] | None = None,
) -> None:
    """Write `tokenizer.json` and the `tokenizer_config.json` by which transformers opens it.

    Args:
        folder: where it is missing it appears whole or not at all; in one that stands, other files stay.
        tokenizer_json: what the tokenizers library writes.
        vocabulary: the token of every id.
        special: ids of the special tokens.
        more: further keys of `tokenizer_config.json`.
        further: text of further files by name.
    """
    unknown = special.reserved[0] if special.reserved and vocabulary[special.unknown] == "N" else special.unknown
    names = {"unk": unknown, "pad": special.pad, "cls": special.cls, "sep": special.sep, "mask": special.mask}
    config: dict[str, Any] = {
        # transformers 4 and 5 both open this class from tokenizer.json alone.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **{f"{name}_token": vocabulary[index] for name, index in names.items() if index is not None},
        **(more or {}),
    }
    texts = {FILE: tokenizer_json, CONFIG: json.dumps(config, indent=2) + "\n", **(further or {})}
    with nullcontext(folder) if folder.is_dir() else atomic_folder(folder) as target:
        for name, text in texts.items():
            write_text(target / name, text)


def save_characters(tokenizer: CharacterTokenizer, folder: Path) -> None:
    """Write characters: text is cut at every letter."""
    from tokenizers import Regex, pre_tokenizers

    pieces = pre_tokenizers.Split(Regex("."), "isolated")
    write_files(folder, _word_level(tokenizer, pieces), tokenizer.vocabulary, tokenizer.special)


def save_blocks(tokenizer: BlocksTokenizer, folder: Path) -> None:
    """Write k-mers side by side: text is cut into k bases wherever there are so many, else into letters."""
    from tokenizers import Regex, pre_tokenizers

    pieces = pre_tokenizers.Split(Regex(f"[ACGT]{{{tokenizer.k}}}|."), "isolated")
    write_files(folder, _word_level(tokenizer, pieces), tokenizer.vocabulary, tokenizer.special)


def save_kmers(tokenizer: KmerTokenizer, folder: Path) -> None:
    """Write overlapping k-mers: text is k-mers joined by blanks; `vocab.txt` is for DNABERT's own tokenizer class."""
    from tokenizers import pre_tokenizers

    content = _word_level(tokenizer, pre_tokenizers.WhitespaceSplit())
    listed = {VOCABULARY: "\n".join(tokenizer.vocabulary) + "\n"}
    write_files(folder, content, tokenizer.vocabulary, tokenizer.special, {"kmer": tokenizer.k}, further=listed)


def upper_case() -> Any:
    """The normalizer of files written here: upper case, U as T; letter by letter, so that spans stay."""
    from tokenizers import normalizers

    letters = zip("acgtnuU", "ACGTNTT", strict=True)
    return normalizers.Sequence([normalizers.Replace(letter, base) for letter, base in letters])


def post_processor(vocabulary: Sequence[str], special: SpecialTokens) -> Any:
    """The post-processor of files written here: [CLS] before, [SEP] after every sequence of a pair."""
    from tokenizers import processors

    cls = vocabulary[special.cls]
    known = [(cls, special.cls)]
    single, second = f"{cls} $A", " $B:1"
    if special.sep is not None:
        sep = vocabulary[special.sep]
        known.append((sep, special.sep))
        single, second = f"{single} {sep}", f" $B:1 {sep}:1"
    return processors.TemplateProcessing(single=single, pair=single + second, special_tokens=known)


def _word_level(tokenizer: CharacterTokenizer | KmerTokenizer | BlocksTokenizer, pieces: Any) -> str:
    """`tokenizer.json` of a fixed vocabulary, given what cuts text into tokens."""
    from tokenizers import Tokenizer as LibraryTokenizer
    from tokenizers import models, normalizers

    vocabulary, special = tokenizer.vocabulary, tokenizer.special
    unknown = special.reserved[0] if special.reserved else special.unknown
    ids = {token: index for index, token in enumerate(vocabulary)}
    library = LibraryTokenizer(models.WordLevel(ids, unk_token=vocabulary[unknown]))
    library.normalizer = upper_case()
    if tokenizer.kind == "blocks":  # N has an id of its own here; ambiguity codes are read as N
        from glmbench.sequences.alphabet import AMBIGUITY_CODES

        codes = AMBIGUITY_CODES + AMBIGUITY_CODES.lower()
        replaced = [normalizers.Replace(letter, "N") for letter in codes]
        library.normalizer = normalizers.Sequence([upper_case(), *replaced])
    library.pre_tokenizer = pieces
    library.post_processor = post_processor(vocabulary, special)
    library.add_special_tokens([vocabulary[index] for index in special.ids if vocabulary[index] != "N"])
    content: str = library.to_str(pretty=True)
    return content


def _find(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise DataError(f"there is no tokenizer at {path}; want a folder with {FILE}, or that file")
    for name in (FILE, VOCABULARY):
        if (path / name).is_file():
            return path / name
    raise DataError(f"{path} has no {FILE} (nor a {VOCABULARY}); save the tokenizer there first")


def _kmers_of_vocabulary(file: Path) -> Tokenizer:
    """k-mers from a `vocab.txt`: that of the Nucleotide Transformer begins with <unk>, DNABERT's with [PAD]."""
    found = tuple(file.read_text(encoding="utf-8", errors="replace").split())
    return _checked(file, found, _look_alike(found, overlapping=found[:1] != ("<unk>",)))


def _fixed(file: Path, saved: dict[str, Any]) -> Tokenizer:
    """A tokenizer with a fixed vocabulary, told by how it cuts text and checked id by id."""
    ids = saved["model"].get("vocab")
    numbered = isinstance(ids, dict) and all(type(index) is int for index in ids.values())
    if not isinstance(ids, dict) or not numbered or sorted(ids.values()) != list(range(len(ids))):
        raise DataError(f"{file}: its ids are not 0, 1, 2, … each once; want {_WANTED}")
    found = tuple(sorted(ids, key=lambda token: int(ids[token])))
    cutter = saved.get("pre_tokenizer")
    cut = cutter.get("type") if isinstance(cutter, dict) else None
    return _checked(file, found, _look_alike(found, overlapping=cut in ("WhitespaceSplit", "Whitespace")))


def _look_alike(vocabulary: Sequence[str], *, overlapping: bool) -> Tokenizer | None:
    """The tokenizer of ours that could have this vocabulary, by its longest token."""
    from glmbench.tokenizers.blocks import BlocksTokenizer
    from glmbench.tokenizers.character import CharacterTokenizer
    from glmbench.tokenizers.kmer import LARGEST_K, KmerTokenizer

    k = max((len(token) for token in vocabulary if set(token) <= set("ACGT")), default=0)
    if not 1 <= k <= LARGEST_K:
        return None
    if overlapping:
        return KmerTokenizer(k)
    return CharacterTokenizer() if k == 1 else BlocksTokenizer(k)


def _checked(file: Path, found: tuple[str, ...], alike: Tokenizer | None) -> Tokenizer:
    """`alike`, if it has the vocabulary that was found, id by id."""
    if alike is None:
        raise DataError(
            f"{file}: {len(found)} tokens ({', '.join(found[:8])} …) are no table of k-mers; want {_WANTED}"
        )
    wanted = alike.vocabulary
    if wanted == found:
        return alike
    differing = (i for i, (ours, theirs) in enumerate(zip(wanted, found, strict=False)) if ours != theirs)
    at = next(differing, min(len(found), len(wanted)))
    raise DataError(
        f"{file}: a vocabulary of {len(found)} tokens looks like {alike.name} ({len(wanted)} tokens) but id {at} is "
        f"{_token(found, at)}, want {_token(wanted, at)}; k-mers are read with the ids of DNABERT (overlapping) and "
        "of the Nucleotide Transformer (side by side) only"
    )


def _token(vocabulary: Sequence[str], index: int) -> str:
    return repr(vocabulary[index]) if index < len(vocabulary) else "missing"
