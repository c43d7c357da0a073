"""What each choice costs: tables of times, requests, bytes and memory, measured side by side."""

import sys
from pathlib import Path

# The bundled tool; processes that are started from here inherit the path.
sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
