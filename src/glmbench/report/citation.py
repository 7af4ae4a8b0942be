"""How to cite the tool itself; the same facts as CITATION.cff."""

from importlib.metadata import version

GLMBENCH = f"""\
@software{{glmbench,
  title   = {{glmbench: pre-training and measuring genomic language models}},
  author  = {{{{The glmbench developers}}}},
  version = {{{version("glmbench")}}},
  year    = {{2026}},
  license = {{Apache-2.0}}
}}"""
