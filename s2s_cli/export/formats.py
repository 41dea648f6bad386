"""The formats by their names."""

from s2s_cli.export.ctranslate2_model import CTranslate2Model
from s2s_cli.export.format import Format
from s2s_cli.export.keras_models import KerasModels
from s2s_cli.export.litert_model import LiteRTModel
from s2s_cli.export.onnx_models import OnnxModels
from s2s_cli.export.saved_model import SavedModel

_ALL: tuple[Format, ...] = (
    KerasModels(),
    SavedModel(),
    OnnxModels(),
    LiteRTModel(),
    CTranslate2Model(),
)
FORMATS = {one.name: one for one in _ALL}
