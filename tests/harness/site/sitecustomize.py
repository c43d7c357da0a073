"""Put on the path of every process that a script block starts.

Installs the network guard there, makes deprecations that the block is blamed for errors, and
watches the script where a test asks for it (``reruns.py``).
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from harness import deprecations, network_guard

network_guard.install()
deprecations.watch("error")
if "VIRTUAL_ZARR_RERUN" in os.environ:
    from harness import reruns

    reruns.watch_this_process()
sys.path.pop(0)
