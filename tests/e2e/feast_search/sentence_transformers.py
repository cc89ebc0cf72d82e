"""In the place of the package that Feast turns words into vectors with, which downloads models."""

import numpy


class SentenceTransformer:
    def __init__(self, model):
        self.model = model

    def encode(self, texts, convert_to_numpy):
        return numpy.array([[float(len(text)), 0.0, 0.0, 0.0] for text in texts])
