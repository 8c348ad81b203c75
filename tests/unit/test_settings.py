"""Settings: which source wins, and what is said about a wrong one."""

import json
from pathlib import Path

import pytest

from backend_demo.errors import ConfigurationInvalid
from backend_demo.settings import Settings, accepted_filters, load


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and nothing in the environment."""
    import os

    for name in list(os.environ):
        if name.startswith("BDEMO_") or name.endswith("_HOST_PORT"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_flag_over_environment_over_file_over_the_original_s_names_over_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load().kafka_port == 9092
    (folder / ".env").write_text("KAFKA_HOST_PORT=1\n# PG_HOST_PORT=9\nexport GATEWAY_HOST_PORT='8'\n")
    assert (load().kafka_port, load().gateway_port, load().postgres_port) == (1, 8, 5432)
    monkeypatch.setenv("KAFKA_HOST_PORT", "2")
    assert load().kafka_port == 2
    (folder / "bdemo.toml").write_text("kafka_port = 3\n")
    assert load().kafka_port == 3
    monkeypatch.setenv("BDEMO_KAFKA_PORT", "4")
    assert load().kafka_port == 4
    assert load(kafka_port=5, gateway_port=None).kafka_port == 5


def test_the_file_is_found_upward(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "bdemo.toml").write_text("\ufeffaggregation_window = 7\r\n")
    (folder / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(folder / "a" / "b")
    assert load().aggregation_window == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kafka_prot = 1", "unknown setting 'kafka_prot'"),
        ("kafka_port = ", "not TOML"),
        ("kafka_port = 1\nkafka_port = 2", "not TOML"),
        ("kafka_port = 70000", "kafka_port"),
        ('kafka_port = "many"', "kafka_port"),
        ("value_min = nan", "value_min"),
        ('time_min = "yesterday"', "time_min.*line 1: neither epoch seconds nor an RFC 3339 date or time"),
        ("time_min = -1", "time_min"),
        ('kafka_bootstrap = "nowhere"', "invalid address 'nowhere'"),
        ('postgres_dsn = "mysql://x"', "postgresql://"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(folder: Path, text: str, said: str) -> None:
    (folder / "bdemo.toml").write_text(text)
    (folder / "bdemo.toml").chmod(0o600)
    with pytest.raises(ConfigurationInvalid, match=said) as problem:
        load()
    assert problem.value.hint
    assert "\n" not in problem.value.message


def test_an_error_says_where_the_value_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def message(**flags: object) -> str:
        with pytest.raises(ConfigurationInvalid) as problem:
            load(**flags)
        return problem.value.message

    (folder / ".env").write_text("KAFKA_HOST_PORT=x\n")
    assert message().startswith(f"KAFKA_HOST_PORT in {folder / '.env'}: ")
    monkeypatch.setenv("KAFKA_HOST_PORT", "y")
    assert message().startswith("KAFKA_HOST_PORT in the environment: ")
    (folder / "bdemo.toml").write_text("# ports\n\nkafka_port = 70000\n")
    assert message().startswith(f"kafka_port in {folder / 'bdemo.toml'}, line 3: ")
    monkeypatch.setenv("BDEMO_KAFKA_PORT", "z")
    assert message().startswith("BDEMO_KAFKA_PORT in the environment: ")
    assert message(profiles=["none"]).startswith("--profile: ")
    monkeypatch.delenv("BDEMO_KAFKA_PORT")
    (folder / "bdemo.toml").unlink()
    monkeypatch.setenv("BDEMO_MQTT_FILTERS", "sensors/#")
    assert message() == "BDEMO_MQTT_FILTERS in the environment: not a JSON list"


@pytest.mark.parametrize(
    "given",
    ["978307200", '"978307200"', '"2001-01-01"', '"2001-01-01T01:00:00+0100"', "2001-01-01", "2001-01-01T00:00:00Z"],
)
def test_the_earliest_time_is_seconds_or_a_date(folder: Path, given: str) -> None:
    (folder / "bdemo.toml").write_text(f"time_min = {given}\n")
    assert load().time_min == 978_307_200


MAPPINGS = """
[[mapping]]
preset = "zigbee2mqtt"

[[mapping]]  # the boiler
topic = "plant/{sensor}/boiler"
value = "temperature"
time = "at"
unit = "F"
[other]
"""


def test_mappings_are_tables_of_the_file(folder: Path) -> None:
    (folder / "bdemo.toml").write_text(MAPPINGS.replace("[other]", ""))
    settings = load()
    assert [mapping.compiled().topic.filter for mapping in settings.mapping] == ["zigbee2mqtt/+", "plant/+/boiler"]
    assert accepted_filters(settings) == ("sensors/#", "/#", "zigbee2mqtt/+", "plant/+/boiler")
    # as a running stack records them, and passes them on to its services
    again = Settings(**json.loads(settings.model_dump_json()))
    assert again.mapping == settings.mapping


def test_mappings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BDEMO_MAPPING", '[{"preset": "tesensor"}, {"preset": "tesensr"}]')
    with pytest.raises(ConfigurationInvalid) as problem:
        load()
    assert problem.value.message.startswith("BDEMO_MAPPING in the environment: mapping 2: unknown preset 'tesensr': ")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('unit = "F"', 'unit = "X"', "line 9: mapping 2: unknown unit 'X': C, F, K"),
        ('unit = "F"', "unit = 7", "line 9: mapping 2: unit: input should be a valid string"),
        ('unit = "F"', 'unti = "F"', "line 9: mapping 2: unti: extra inputs are not permitted"),
        ('time = "at"', "", "line 5: mapping 2: time is missing"),
        ('preset = "zigbee2mqtt"', 'preset = "zigbee"', "line 3: mapping 1: unknown preset 'zigbee'"),
        ('unit = "F"', 'zone = "Europe/Nowhere"', "line 9: mapping 2: unknown time zone 'Europe/Nowhere'"),
    ],
)
def test_a_wrong_mapping_is_told_with_its_line(folder: Path, before: str, after: str, said: str) -> None:
    (folder / "bdemo.toml").write_text(MAPPINGS.replace("[other]", "").replace(before, after))
    with pytest.raises(ConfigurationInvalid) as problem:
        load()
    assert problem.value.message.startswith(f"mapping in {folder / 'bdemo.toml'}, {said}")


def test_the_nearest_name_is_suggested(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "bdemo.toml").write_text("kafka_prot = 1")
    with pytest.raises(ConfigurationInvalid) as problem:
        load()
    assert "kafka_port" in problem.value.hint
    (folder / "bdemo.toml").unlink()
    monkeypatch.setenv("BDEMO_KAFKA_BOOTSTRP", "x:1")
    with pytest.raises(ConfigurationInvalid) as problem:
        load()
    assert "BDEMO_KAFKA_BOOTSTRAP" in problem.value.hint


def test_a_directory_is_no_file(folder: Path) -> None:
    (folder / "bdemo.toml").mkdir()
    with pytest.raises(ConfigurationInvalid, match="cannot read"):
        load()


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o602])
def test_secrets_that_others_may_read_or_write_are_refused(folder: Path, mode: int) -> None:
    path = folder / "bdemo.toml"
    path.write_text('mqtt_password = "secret"')
    path.chmod(mode)
    with pytest.raises(ConfigurationInvalid, match=r"bdemo\.toml"):
        load()
    path.chmod(0o600)
    assert load().mqtt_password == "secret"


def test_secrets_are_not_shown() -> None:
    shown = repr(Settings(mqtt_password="secret-1", postgres_dsn="postgresql://me:secret-2@host/db"))
    assert "secret-1" not in shown
    assert "secret-2" not in shown


def test_a_containers_secrets_are_files_between_the_environment_and_bdemo_toml(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend_demo.settings_sources.SECRETS_DIR", folder / "secrets")
    (folder / "secrets").mkdir()
    (folder / "secrets" / "bdemo_mqtt_password").write_text("from a file\n")
    (folder / "secrets" / "somebody_elses").write_text("ignored")
    (folder / "bdemo.toml").write_text('mqtt_password = "from bdemo.toml"\n')
    (folder / "bdemo.toml").chmod(0o600)
    assert load().mqtt_password == "from a file"
    monkeypatch.setenv("BDEMO_MQTT_PASSWORD", "from the environment")
    assert load().mqtt_password == "from the environment"
    assert load().postgres_dsn == Settings.model_fields["postgres_dsn"].default


def test_a_variable_may_name_the_file_of_a_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "mine"
    file.touch(mode=0o600)
    file.write_text("from a file\n")
    monkeypatch.setenv("BDEMO_MQTT_PASSWORD_FILE", str(file))
    assert load().mqtt_password == "from a file"
    monkeypatch.setenv("BDEMO_MQTT_PASSWORD", "from the environment")
    with pytest.raises(ConfigurationInvalid, match="BDEMO_MQTT_PASSWORD and BDEMO_MQTT_PASSWORD_FILE are both"):
        load()


@pytest.mark.parametrize(
    ("variable", "mode", "said"),
    [
        ("BDEMO_POSTGRES_DSN_FILE", 0o644, "others may read"),
        ("BDEMO_KAFKA_PASSWORD_FILE", None, "cannot read"),
        ("BDEMO_MQTT_PORT_FILE", 0o600, "unknown setting BDEMO_MQTT_PORT_FILE"),
    ],
)
def test_a_file_of_a_secret_that_cannot_be_used_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str, mode: int | None, said: str
) -> None:
    file = folder / "mine"
    if mode is not None:
        file.touch()
        file.chmod(mode)
    monkeypatch.setenv(variable, str(file))
    with pytest.raises(ConfigurationInvalid, match=said):
        load()


def test_an_unreadable_secret_file_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend_demo.settings_sources.SECRETS_DIR", folder)
    (folder / "bdemo_postgres_dsn").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationInvalid, match="bdemo_postgres_dsn"):
        load()


TOKEN = "0123456789abcdef" * 2


@pytest.mark.parametrize("text", [f"{TOKEN} {TOKEN}x", f"{TOKEN}\n{TOKEN}x\n", f'["{TOKEN}", "{TOKEN}x"]'])
def test_tokens_are_words_lines_or_a_list(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("backend_demo.settings_sources.SECRETS_DIR", folder)
    (folder / "bdemo_gateway_tokens").write_text(text)
    assert load().gateway_tokens == (TOKEN, f"{TOKEN}x")
    (folder / "bdemo_gateway_tokens").write_text("")
    assert load().gateway_tokens == ()
    monkeypatch.setenv("BDEMO_GATEWAY_TOKENS", text)
    assert load().gateway_tokens == (TOKEN, f"{TOKEN}x")


@pytest.mark.parametrize("token", ["short", TOKEN[1:], TOKEN + "/", TOKEN + "ä", TOKEN * 9])
def test_an_invalid_token_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("BDEMO_GATEWAY_TOKENS", f"{TOKEN} {token}")
    with pytest.raises(
        ConfigurationInvalid, match="BDEMO_GATEWAY_TOKENS in the environment: token 2 is invalid"
    ) as problem:
        load()
    assert token not in problem.value.message + problem.value.hint


def test_tokens_are_not_shown() -> None:
    assert TOKEN not in repr(Settings(gateway_tokens=(TOKEN,), gateway_token=TOKEN))


@pytest.mark.parametrize("origin", ["*", "example.org", "https://example.org/", "https://a b", "https://Example.org"])
def test_an_invalid_origin_is_refused(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("BDEMO_GATEWAY_CORS_ORIGINS", f'["https://ok.example:8443", "{origin}"]')
    with pytest.raises(ConfigurationInvalid, match="invalid origin"):
        load()
