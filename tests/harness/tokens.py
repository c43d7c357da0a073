"""Count tokens as a model's tokenizer does (cl100k_base, from the npm package gpt-tokenizer)."""

from __future__ import annotations

import json
import subprocess

from harness import npm

VERSION = "4.0.0"
ENCODING = "cl100k_base"
_PROGRAM = """
const {countTokens} = require(process.argv[1]);
const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(texts.map((text) => countTokens(text))));
"""


def count_tokens(texts: dict[str, str]) -> dict[str, int]:
    """Tokens of each text, by its name."""
    module = npm.install("gpt-tokenizer", VERSION) / "cjs" / "encoding" / f"{ENCODING}.js"
    done = subprocess.run(
        [npm.NODE, "-e", _PROGRAM, str(module)],
        input=json.dumps(list(texts.values())),
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(texts, json.loads(done.stdout), strict=True))
