"""Codes of a corpus: written by `tokenize` on one machine or many, opened by `open`.

from soundstream import tokens

tokens.tokenize(["recordings/"], "tokens")
for sound in tokens.open("tokens"):
    print(sound.source, sound.codes.shape)
"""

from soundstream.tokens.dataset import TokenDataset, collate
from soundstream.tokens.detokenizer import CodeStream, Detokenizer
from soundstream.tokens.patterns import PATTERNS, Delay, Flat, Parallel, Pattern, Vocabulary
from soundstream.tokens.reader import TokenizedSound, Tokens
from soundstream.tokens.reader import open_tokens as open
from soundstream.tokens.run import Progress, Summary, tokenize
from soundstream.tokens.sources import Failure, Source

__all__ = [
    "PATTERNS",
    "CodeStream",
    "Delay",
    "Detokenizer",
    "Failure",
    "Flat",
    "Parallel",
    "Pattern",
    "Progress",
    "Source",
    "Summary",
    "TokenDataset",
    "TokenizedSound",
    "Tokens",
    "Vocabulary",
    "collate",
    "open",
    "tokenize",
]
