"""Settings: everything from the environment, every fault at once, no value ever shown."""

from pathlib import Path

import pytest

from quart_app.mysql.config import ConnectConfig, PoolConfig
from quart_app.settings import LogFormat, Settings, SettingsError
from quart_app.tokens import Scope

URL = "mysql://me:hidden@db.example:3307/mine"


@pytest.fixture(name="environ", autouse=True)
def _environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"QUART_APP_{name.upper()}", raising=False)
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.delenv("DATABASE_URL_FILE", raising=False)
    return monkeypatch


def faults() -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env()
    return caught.value.faults


def test_defaults_are_the_engines() -> None:
    settings = Settings.from_env()
    assert settings.pool == PoolConfig(statement_timeout=settings.request_timeout / 2)
    assert settings.connect.connect_timeout == ConnectConfig().connect_timeout
    assert settings.connect.endpoints[0].port == 3307


def test_environment_sets_pool_and_connect(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("QUART_APP_MAXSIZE", "3")
    environ.setenv("QUART_APP_POOL_RECYCLE", "25.5")
    environ.setenv("QUART_APP_CONNECT_TIMEOUT", "2")
    environ.setenv("QUART_APP_LOG_FORMAT", "json")
    environ.setenv("QUART_APP_BIND", "127.0.0.1:1, [::1]:2")
    settings = Settings.from_env()
    assert (settings.pool.maxsize, settings.pool.pool_recycle) == (3, 25.5)
    assert settings.connect.connect_timeout == 2.0
    assert settings.log_format is LogFormat.JSON
    assert settings.bind == ("127.0.0.1:1", "[::1]:2")


def test_more_connections_than_any_server_takes_are_a_typing_error(
    environ: pytest.MonkeyPatch,
) -> None:
    environ.setenv("QUART_APP_MAXSIZE", "10000000")
    (fault,) = faults()
    assert fault.startswith("QUART_APP_MAXSIZE: ")


def test_pool_recycle_may_be_never_as_the_reference_says(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("QUART_APP_POOL_RECYCLE", "-1")
    assert Settings.from_env().pool.pool_recycle == -1


@pytest.mark.parametrize("value", ["0", "-2", "soon", "inf"])
def test_pool_recycle_is_a_time_or_never(environ: pytest.MonkeyPatch, value: str) -> None:
    environ.setenv("QUART_APP_POOL_RECYCLE", value)
    (fault,) = faults()
    assert fault.startswith("QUART_APP_POOL_RECYCLE: ")


@pytest.mark.parametrize("name", ["MAX_LIFETIME", "SHUTDOWN_TIMEOUT", "IDEMPOTENCY_KEEP"])
@pytest.mark.parametrize("value", ["inf", "nan", "1e400"])
def test_time_is_finite(environ: pytest.MonkeyPatch, name: str, value: str) -> None:
    environ.setenv(f"QUART_APP_{name}", value)
    (fault,) = faults()
    assert fault.startswith(f"QUART_APP_{name}: ")


def test_unknown_name_like_no_other_gets_no_suggestion(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("QUART_APP_BOGUS", "1")
    assert faults() == ("QUART_APP_BOGUS: unknown",)


def test_default_budget_is_in_order() -> None:
    settings = Settings.from_env()
    budget = [getattr(settings, name) for name in Settings.budget]
    assert budget == sorted(set(budget))
    assert settings.drain_delay + settings.graceful_timeout + settings.pool.close_timeout < 30


def test_all_faults_are_told_at_once(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("DATABASE_URL", "postgres://me:hidden@db/mine")
    environ.setenv("QUART_APP_MAXSIZE", "many")
    environ.setenv("QUART_APP_MINSZE", "2")
    environ.setenv("QUART_APP_REQUEST_TIMEOUT", "4")
    environ.setenv("QUART_APP_TOKENS", "opps:hidden")
    environ.setenv("QUART_APP_BIND", "nowhere")
    told = "\n".join(faults())
    assert len(faults()) == 6
    assert "QUART_APP_MINSZE: unknown; did you mean QUART_APP_MINSIZE?" in told
    assert "DATABASE_URL: should begin with mysql://" in told
    assert "QUART_APP_MAXSIZE: " in told
    assert "QUART_APP_REQUEST_TIMEOUT: should be greater than QUART_APP_ACQUIRE_TIMEOUT (5" in told
    assert "QUART_APP_TOKENS: entry 1 has an unknown scope (did you mean ops?)" in told
    assert "hidden" not in told


def test_missing_url_is_told_with_an_example(environ: pytest.MonkeyPatch) -> None:
    environ.delenv("DATABASE_URL")
    assert faults() == ("DATABASE_URL: is required, as in mysql://user:password@host/database",)


def test_maxsize_is_not_less_than_minsize(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("QUART_APP_MINSIZE", "11")
    assert faults() == ("QUART_APP_MAXSIZE: should be not less than QUART_APP_MINSIZE",)


def test_secrets_may_come_from_files(environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    digest = "ab" * 32
    (tmp_path / "url").write_text(f"{URL}\n")
    (tmp_path / "tokens").write_text(f"ops:{digest}\nstudents:{digest}\n")
    environ.delenv("DATABASE_URL")
    environ.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    environ.setenv("QUART_APP_TOKENS_FILE", str(tmp_path / "tokens"))
    settings = Settings.from_env()
    assert settings.connect.password == "hidden"  # noqa: S105 - a made-up one
    assert settings.tokens.of(Scope.OPS) == (bytes.fromhex(digest),)
    assert settings.tokens.file == tmp_path / "tokens"


def test_unreadable_secret_file_is_one_fault_of_several(
    environ: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environ.delenv("DATABASE_URL")
    environ.setenv("DATABASE_URL_FILE", str(tmp_path / "nothing"))
    environ.setenv("QUART_APP_WORKERS", "0")
    assert [fault.partition(":")[0] for fault in faults()] == ["DATABASE_URL", "QUART_APP_WORKERS"]


def test_secret_given_twice_is_a_fault(environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(URL)
    environ.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    assert faults() == ("DATABASE_URL: given twice, also as DATABASE_URL_FILE",)


def test_no_secret_in_repr(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("QUART_APP_TOKENS", f"ops:{'ab' * 32}")
    text = repr(Settings.from_env())
    assert "hidden" not in text
    assert "ab" * 32 not in text
    assert "\\xab" not in text


def test_settings_cannot_be_changed() -> None:
    settings = Settings.from_env()
    with pytest.raises(ValueError, match="frozen"):
        settings.maxsize = 4
