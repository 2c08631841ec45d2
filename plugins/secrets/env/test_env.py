import pytest

from hookgate.testing import build
from hookgate_secret_env import Env


def resolve(reference, **options):
    return build(Env, **options).resolve(reference)


def test_a_variable_is_read(monkeypatch):
    monkeypatch.setenv("CRM_KEY", "s3cret")

    assert resolve("CRM_KEY").reveal() == "s3cret"


def test_the_value_does_not_show(monkeypatch):
    monkeypatch.setenv("CRM_KEY", "s3cret")

    assert "s3cret" not in f"{resolve('CRM_KEY')} {resolve('CRM_KEY')!r}"


def test_a_missing_variable_is_named(monkeypatch):
    monkeypatch.delenv("CRM_KEY", raising=False)

    with pytest.raises(LookupError, match=r"^environment variable CRM_KEY is not set$"):
        resolve("CRM_KEY")


@pytest.mark.parametrize("value", [None, ""])
def test_a_default_stands_in_for_a_missing_or_empty_variable(monkeypatch, value):
    monkeypatch.delenv("CRM_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("CRM_KEY", value)

    assert resolve("CRM_KEY:-a:-b").reveal() == "a:-b"
    assert resolve("CRM_KEY:-").reveal() == ""


def test_without_a_default_an_empty_variable_is_empty(monkeypatch):
    monkeypatch.setenv("CRM_KEY", "")

    assert resolve("CRM_KEY").reveal() == ""


def test_a_set_variable_wins_over_the_default(monkeypatch):
    monkeypatch.setenv("CRM_KEY", "set")

    assert resolve("CRM_KEY:-default").reveal() == "set"


def test_only_allowed_names_are_read(monkeypatch):
    monkeypatch.setenv("CRM_KEY", "1")
    monkeypatch.setenv("AWS_SECRET", "2")

    assert resolve("CRM_KEY", allow=["CRM_*", "PORT"]).reveal() == "1"
    with pytest.raises(LookupError, match=r"^environment variable AWS_SECRET may not be read"):
        resolve("AWS_SECRET", allow=["CRM_*", "PORT"])
    with pytest.raises(LookupError, match="may not be read"):
        resolve("CRM_KEY:-x", allow=[])


@pytest.mark.parametrize("reference", ["", "A B", "1A", "A-B", ":-x"])
def test_what_is_no_name_is_refused(reference):
    with pytest.raises(LookupError, match="is not the name of an environment variable"):
        resolve(reference)
