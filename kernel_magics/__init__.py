"""The IPython extension: `%%cpp`, `%build`, `%gpu`."""
