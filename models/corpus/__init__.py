"""The training text of the demonstration model: dialogues made by grammars, nothing else."""
