"""The schema is complete, and its names are those of Keras."""

import keras

from s2s_cli.config.schema import InitializerName, OptimizerName, Section


def _sections(base=Section):
    for section in base.__subclasses__():
        if section.__module__.startswith("s2s_cli."):
            yield section
        yield from _sections(section)


def test_every_setting_is_documented_and_has_a_default_unless_it_must_be_given():
    required = set()
    for section in _sections():
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"
            if field.is_required():
                required.add(f"{section.__name__}.{name}")
    assert required - {"ResolvedConfig.data", "ResolvedConfig.model", "Config.model"} == {
        "Config.data",
        "Data.train",
        "InitializeFrom.run",
        "Initializer.name",
        "ModelSettings.architecture",
        "ResolvedConfig.format",
        "ResolvedConfig.resolved",
        "FileFingerprint.key",
        "FileFingerprint.path",
        "FileFingerprint.sha256",
        "Resolved.files",
        "Resolved.versions",
        "Resolved.plan_version",
    }


def test_the_names_of_optimizers_and_initializers_are_those_of_keras():
    for name in OptimizerName.__args__:
        assert keras.optimizers.get(name)
    for name in InitializerName.__args__:
        config = {"value": 1.0} if name == "constant" else {}
        assert keras.initializers.get({"class_name": name, "config": config})
