"""What ``evals/run.py`` and the tasks share: inputs, workspaces, emulators, grades, tables."""
