"""What each choice costs: tables of times, requests, bytes and memory, measured side by side."""
