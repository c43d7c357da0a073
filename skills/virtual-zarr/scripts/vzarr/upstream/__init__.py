"""What depends on the inside of other libraries: patches, and names that they may change.

Each module names the releases that it was checked with, where the matter is discussed, and what it
waits for (``Remove when``). Nothing outside of this room uses a private name of a library; a test
holds that.
"""
