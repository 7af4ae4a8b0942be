"""References: how to cite the tool itself (the facts of CITATION.cff), and lists of BibTeX without repeats."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import version

GLMBENCH = f"""\
@software{{glmbench,
  title   = {{glmbench: pre-training and measuring genomic language models}},
  author  = {{{{The glmbench developers}}}},
  version = {{{version("glmbench")}}},
  year    = {{2026}},
  license = {{Apache-2.0}}
}}"""


def unique_entries(texts: Iterable[str]) -> list[str]:
    """BibTeX entries of all texts, the first of each key, in the order they first occur."""
    seen: dict[str, str] = {}
    for entry in (part.strip() for text in texts for part in re.split(r"\n(?=\s*@)", text.strip()) if part.strip()):
        key = re.match(r"@\w+\s*\{\s*([^,\s]+)", entry)
        seen.setdefault(key[1].lower() if key else " ".join(entry.split()), entry)
    return list(seen.values())
