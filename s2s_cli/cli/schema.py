"""`s2s schema`."""

from __future__ import annotations

import json

from s2s_cli.cli import console


def schema() -> None:
    """Print the JSON Schema of the config, for editors and for reading."""
    from s2s_cli.config.schema import config_type

    console.print_line(json.dumps(config_type().model_json_schema(), indent=2))
