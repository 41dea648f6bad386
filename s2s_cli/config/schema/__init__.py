"""The config: every setting with its type, default, bounds and meaning.

A default is written here and nowhere else. The attribute docstrings are the help of command-line
options and the descriptions in `s2s schema` and in docs/settings.md.
"""

from s2s_cli.config.schema.cleaning import Cleaning
from s2s_cli.config.schema.config import (
    FAMILIES,
    Config,
    ResolvedConfig,
    config_type,
    resolved_config_type,
)
from s2s_cli.config.schema.data import Corpus, Data, Files, FormatName, Validation
from s2s_cli.config.schema.decoding import MAX_CANDIDATES, Decoding
from s2s_cli.config.schema.model import (
    Embedding,
    Initializer,
    InitializerName,
    ModelSettings,
    SideFiles,
)
from s2s_cli.config.schema.optimizer import Optimizer, OptimizerName
from s2s_cli.config.schema.recurrent import Decoder, Encoder, RecurrentModel
from s2s_cli.config.schema.regularization import (
    Averaging,
    Consistency,
    ScheduledSampling,
    SideRates,
)
from s2s_cli.config.schema.run import RUN_FORMAT, FileFingerprint, Resolved
from s2s_cli.config.schema.section import MisfitError, OnResume, Section
from s2s_cli.config.schema.tokenizer import Tokenizer
from s2s_cli.config.schema.training import (
    EarlyStopping,
    InitializeFrom,
    Schedule,
    SubwordSampling,
    Training,
)
from s2s_cli.config.schema.transformer import TransformerModel

__all__ = [
    "FAMILIES",
    "MAX_CANDIDATES",
    "RUN_FORMAT",
    "Averaging",
    "Cleaning",
    "Config",
    "Consistency",
    "Corpus",
    "Data",
    "Decoder",
    "Decoding",
    "EarlyStopping",
    "Embedding",
    "Encoder",
    "FileFingerprint",
    "Files",
    "FormatName",
    "InitializeFrom",
    "Initializer",
    "InitializerName",
    "MisfitError",
    "ModelSettings",
    "OnResume",
    "Optimizer",
    "OptimizerName",
    "RecurrentModel",
    "Resolved",
    "ResolvedConfig",
    "Schedule",
    "ScheduledSampling",
    "Section",
    "SideFiles",
    "SideRates",
    "SubwordSampling",
    "Tokenizer",
    "Training",
    "TransformerModel",
    "Validation",
    "config_type",
    "resolved_config_type",
]
