"""A trained model, handed on: as a Hugging Face folder, and over HTTP."""
