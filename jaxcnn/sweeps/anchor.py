"""Paths of a sweep, made to mean the same to every worker, wherever its process runs."""

from dataclasses import replace

import sqlalchemy
from sqlalchemy.exc import ArgumentError

from jaxcnn.config import Config
from jaxcnn.paths import absolute, is_prepared_set
from jaxcnn.sweeps.settings import Settings
from jaxcnn.sweeps.space import Parameter, Space


def anchor(settings: Settings, base: Config) -> tuple[Settings, Config]:
    """A sweep whose paths begin at the root; relative ones are taken from this process's folder.

    Example:
      >>> settings = Settings(search=("init_from=choice('','a.pth')",), storage="sqlite:///studies.db")
      >>> settings, base = anchor(settings, Config(dataset="digits", data_dir="sets"))
      >>> here = absolute(".")
      >>> settings.search[0].replace(here, "HERE"), settings.storage.replace(here, "HERE")
      ("init_from=choice('','HERE/a.pth')", 'sqlite:///HERE/studies.db')
      >>> base.data_dir.replace(here, "HERE"), base.dataset
      ('HERE/sets', 'digits')
    """
    base = replace(
        base,
        workdir=absolute(base.workdir),
        data_dir=absolute(base.data_dir),
        init_from=absolute(base.init_from),
        dataset=_data_set(base.dataset),
    )
    search = tuple(str(_parameter(parameter)) for parameter in Space.parse(settings.search))
    return replace(settings, search=search, storage=_database(settings.storage)), base


def _data_set(text: str) -> str:
    return absolute(text) if is_prepared_set(text) else text


def _parameter(parameter: Parameter) -> Parameter:
    of = {"init_from": absolute, "dataset": _data_set}.get(parameter.name)
    return replace(parameter, arguments=tuple(map(of, parameter.arguments))) if of else parameter


def _database(url: str) -> str:
    try:
        parsed = sqlalchemy.make_url(url)
    except (ArgumentError, ValueError):  # who opens it says so
        return url
    name = parsed.database
    if parsed.get_backend_name() != "sqlite" or name in (None, "", ":memory:") or name.startswith("file:"):
        return url
    return parsed.set(database=absolute(name)).render_as_string(hide_password=False)
