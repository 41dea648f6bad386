"""The formats by their names."""

from s2s_cli.export.format import Format
from s2s_cli.export.keras_models import KerasModels
from s2s_cli.export.saved_model import SavedModel

FORMATS: dict[str, Format] = {one.name: one for one in (KerasModels(), SavedModel())}
