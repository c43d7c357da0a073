"""Put on the path of every process that a script block starts: installs the network guard there."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from harness import network_guard

sys.path.pop(0)
network_guard.install()
