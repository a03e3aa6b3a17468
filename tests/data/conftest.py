"""One folder of prepared embedded sets for the session, and no network for anyone."""

import socket

import pytest

from jaxcnn import data


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """A data folder in which the embedded sets get prepared once."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def digits(data_dir):
    return data.load("digits", data_dir=str(data_dir))


@pytest.fixture(scope="session")
def shapes16(data_dir):
    return data.load("shapes/16", data_dir=str(data_dir))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Reaching for the network fails the test at once instead of waiting for retries."""

    def refuse(*args, **kwargs):
        raise AssertionError(f"reached for the network: {args}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
