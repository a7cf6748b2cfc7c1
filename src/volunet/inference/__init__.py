"""Engines and ways to run them, and scores of what they answer. Works without PyTorch."""

from volunet.inference.engines import choose_engine, installed_engines, open_engine
from volunet.inference.model import ForeignModel, Model, open_model
from volunet.inference.predict import predict_volume

__all__ = [
    "ForeignModel",
    "Model",
    "choose_engine",
    "installed_engines",
    "open_engine",
    "open_model",
    "predict_volume",
]
