"""Which precision `auto` chooses, and which one is refused."""

import pytest

from s2s_cli.errors import S2SError
from s2s_cli.runtime import precision


def use_processor(monkeypatch, *flags: str, speedup: float = 1.0) -> None:
    monkeypatch.setattr(precision, "processor_flags", lambda: frozenset(flags))
    monkeypatch.setattr(precision, "_bfloat16_speedup", lambda: speedup)


def test_without_8_bit_instructions_int8_is_refused_and_auto_is_another(monkeypatch):
    use_processor(monkeypatch)
    assert precision.resolve_decoding_precision("auto") == "float32"
    with pytest.raises(S2SError, match="this processor has no 8-bit instructions"):
        precision.resolve_decoding_precision("int8")


def test_with_8_bit_instructions_auto_is_int8(monkeypatch):
    use_processor(monkeypatch, "avx_vnni")
    assert precision.resolve_decoding_precision("auto") == "int8"
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert precision.resolve_decoding_precision("auto") == "float32"


@pytest.mark.parametrize(("speedup", "chosen"), [(1.9, "bfloat16"), (0.5, "float32")])
def test_auto_is_bfloat16_only_where_it_was_measured_to_be_faster(monkeypatch, speedup, chosen):
    use_processor(monkeypatch, "avx512_bf16", speedup=speedup)
    assert precision.resolve_training_precision("auto") == chosen
    assert precision.resolve_decoding_precision("auto") == chosen


def test_what_was_requested_is_taken(monkeypatch):
    use_processor(monkeypatch, "avx512_bf16", speedup=9.0)
    for name in ("float32", "bfloat16"):
        assert precision.resolve_training_precision(name) == name
        assert precision.resolve_decoding_precision(name) == name
