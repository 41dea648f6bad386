"""What is true of any config: it is loaded or refused with a place, and can be written and read."""

import yaml
from conftest import CONSTANT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2s_cli.config.load import dump_config, load_config, load_resolved
from s2s_cli.config.resolved import requested_settings, resolve_config
from s2s_cli.config.schema import Config, Resolved
from s2s_cli.errors import ConfigError

property_test = settings(
    deadline=None, derandomize=True, max_examples=80, suppress_health_check=list(HealthCheck)
)

VALID = {
    "data": {"train": {"tsv": "a.tsv"}, "max_length": 30},
    "tokenizer": {"type": "bpe", "vocab_size": 100},
    "model": {"embedding": {"size": 8}, "dropout": 0.1},
    "training": {"max_steps": 5, "optimizer": {"learning_rate": 1e-3}},
    "decoding": {"beam_size": 2, "n_best": 2},
}
KEYS = [(section, key) for section, keys in VALID.items() for key in keys]
any_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@property_test
@given(place=st.sampled_from(KEYS), name=st.none() | st.text(max_size=8), value=any_value)
def test_a_changed_config_loads_or_says_where_it_is_wrong(tmp_path_factory, place, name, value):
    section, key = place
    changed = {**VALID[section], (key if name is None else name): value}
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    text = yaml.safe_dump({**VALID, section: changed}, sort_keys=False)
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        config = load_config(path)
    except ConfigError as error:
        assert all(str(path) in line for line in error.message.split("\n")[:1])
        return
    again = path.with_name("again.yaml")
    again.write_text(dump_config(config), encoding="utf-8")
    assert load_config(again) == config and isinstance(config, Config)
    # As the config of a run, it is the same and says what was configured.
    chosen = {"training.precision": "float32", "training.batch_tokens": 512}
    chosen |= {"decoding.precision": "float32", "decoding.max_source_length": 30}
    chosen |= {"training.bleu_tokenizer": "13a", **CONSTANT}
    if config.training.batch_tokens is None:
        del chosen["training.batch_tokens"]
    resolved = resolve_config(config, chosen, Resolved(files=[], versions={}, plan_version=2))
    again.write_text(dump_config(resolved), encoding="utf-8")
    assert load_resolved(again) == resolved
    assert requested_settings(load_resolved(again)) == requested_settings(config)
