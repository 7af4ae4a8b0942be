"""Make a small stand-in for a genomic language model: a BPE tokenizer and a masked language model of minutes, not days.

    python examples/make_standin.py GENOME.fa.gz … --out standin --minutes 5
    glmbench run -m hf:./standin -m random:./standin -t gue/tf/0

It shows where a real checkpoint goes and what its table looks like; minutes teach it token frequencies and a
little of their order, so expect it near its random twin. Its `glmbench.json` says that it is a stand-in.
All that is random comes from `--seed`; `--steps` fixes the amount of training, `--minutes` the time (then the number
of steps depends on the machine, and is recorded).
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(len(SPECIAL))
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def read_fasta(path: Path) -> list[str]:
    """Upper-case sequences of a FASTA file, gzipped or not."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    records = text.split(">")[1:]
    return ["".join(record.splitlines()[1:]).upper() for record in records]


def draw_piece(genomes: list[list[str]], longest: int, rng: np.random.Generator) -> str:
    """A random piece of 64 to `longest` bp without N, on a random strand; every genome equally often."""
    while True:
        contigs = genomes[rng.integers(len(genomes))]
        lengths = np.array([len(contig) for contig in contigs], dtype=float)
        contig = contigs[rng.choice(len(contigs), p=lengths / lengths.sum())]
        length = int(rng.integers(64, longest + 1))
        if len(contig) < length:
            continue
        start = int(rng.integers(len(contig) - length + 1))
        piece = contig[start : start + length]
        if not piece.strip("ACGT"):
            return piece if rng.random() < 0.5 else piece.translate(COMPLEMENT)[::-1]


def train_tokenizer(pieces: list[str], vocabulary: int, context: int) -> PreTrainedTokenizerFast:
    """A BPE tokenizer whose words are whole sequences."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=SPECIAL, initial_alphabet=list("ACGTN"), show_progress=False
    )
    tokenizer.train_from_iterator(pieces, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=context, **names)


def mask_tokens(ids: Tensor, vocabulary: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """BERT's corruption of (B, T) tokens: 15 % are targets; of these 80 % become [MASK], 10 % random, 10 % stay."""
    chosen = (torch.rand(ids.shape, generator=generator) < 0.15) & (ids >= len(SPECIAL))
    labels = ids.masked_fill(~chosen, -100)
    fate = torch.rand(ids.shape, generator=generator)
    other = torch.randint(len(SPECIAL), vocabulary, ids.shape, generator=generator)
    corrupted = torch.where(chosen & (fate < 0.8), MASK, torch.where(chosen & (fate >= 0.9), other, ids))
    return corrupted, labels


def token_batches(
    tokenizer: PreTrainedTokenizerFast, genomes: list[list[str]], longest: int, tokens: int, rng: np.random.Generator
) -> Iterator[Tensor]:
    """Batches of about `tokens` padded tokens, (B, T); pieces of similar length together."""
    while True:
        pieces = [draw_piece(genomes, longest, rng) for _ in range(256)]
        rows = sorted(tokenizer(pieces, truncation=True)["input_ids"], key=len)
        groups: list[list[list[int]]] = [[]]
        for row in rows:
            if groups[-1] and (len(groups[-1]) + 1) * len(row) > tokens:
                groups.append([])
            groups[-1].append(row)
        for at in rng.permutation(len(groups)):
            width = len(groups[at][-1])
            yield torch.tensor([row + [PAD] * (width - len(row)) for row in groups[at]])


def train(
    network: BertForMaskedLM, batches: Iterator[Tensor], steps: int | None, minutes: float, seed: int
) -> tuple[int, list[tuple[int, float]]]:
    """Train for `steps`, or for `minutes`; returns the steps done and the mean loss (nats a token) of each 50."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1.0, betas=(0.9, 0.98), weight_decay=0.01)
    started, curve, recent, step = time.monotonic(), [], [], 0
    while (done := step / steps if steps else (time.monotonic() - started) / (60 * minutes)) < 1:
        rate = 1e-3 * min((step + 1) / 100, 1) * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids = next(batches)
        corrupted, labels = mask_tokens(ids, network.config.vocab_size, generator)
        loss = network(input_ids=corrupted, attention_mask=(ids != PAD).long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        recent.append(loss.item())
        step += 1
        if step % 50 == 0:
            curve.append((step, float(np.mean(recent))))
            print(f"step {step}: loss {curve[-1][1]:.3f} nats a token, {time.monotonic() - started:.0f} s", flush=True)
            recent = []
    return step, curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fasta", type=Path, nargs="+", help="genomes, one FASTA file each, may be gzipped")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--minutes", type=float, default=5, help="time to train")
    parser.add_argument("--steps", type=int, help="train so many steps whatever the time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="more help only on an idle machine")
    parser.add_argument("--width", type=int, default=128, help="hidden size, a multiple of 32")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=512)
    parser.add_argument("--longest", type=int, default=500, help="longest piece to train on, in bp, up to 1000")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    rng = np.random.default_rng(arguments.seed)
    torch.manual_seed(arguments.seed)
    genomes = [read_fasta(path) for path in arguments.fasta]
    pieces = [draw_piece(genomes, 1000, rng) for _ in range(2000)]
    tokenizer = train_tokenizer(pieces, arguments.vocabulary, context=512)
    config = BertConfig(
        vocab_size=arguments.vocabulary,
        hidden_size=arguments.width,
        num_hidden_layers=arguments.layers,
        num_attention_heads=arguments.width // 32,
        intermediate_size=4 * arguments.width,
        max_position_embeddings=512,
        pad_token_id=PAD,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    network = BertForMaskedLM(config).train()
    batches = token_batches(tokenizer, genomes, arguments.longest, 2048, rng)
    steps, curve = train(network, batches, arguments.steps, arguments.minutes, arguments.seed)

    network.save_pretrained(arguments.out)
    tokenizer.save_pretrained(arguments.out)
    about = {
        "kind": "stand-in",
        "description": f"BPE masked language model of {network.num_parameters():,} parameters, {steps} steps on a CPU",
        "pretraining": {
            "species": [path.name.split(".")[0] for path in arguments.fasta],
            "bases": sum(len(contig) for contigs in genomes for contig in contigs),
            "steps": steps,
            "seed": arguments.seed,
            "final_loss_nats_per_token": round(curve[-1][1], 4) if curve else None,
            "loss_curve": [[step, round(loss, 4)] for step, loss in curve],
        },
    }
    (arguments.out / "glmbench.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {arguments.out}: use it as hf:{arguments.out}, its control as random:{arguments.out}")


if __name__ == "__main__":
    main()
