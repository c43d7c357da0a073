"""Put on the path of every process that a script block starts.

Installs the network guard there, and makes deprecations that the block is blamed for errors.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from harness import deprecations, network_guard

sys.path.pop(0)
network_guard.install()
deprecations.watch("error")
