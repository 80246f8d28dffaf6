"""What supervisord is told."""

import configparser

from portal.stack.home import StackHome
from portal.stack.programs import LABELS, Program, application, servers
from portal.stack.supervisor import configuration


def parse(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return parser


def test_every_program_is_restarted_and_its_log_rotates(home, monkeypatch):
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("REDIS_URL")
    config = parse(configuration(home, home.supervisor_socket, servers(home), application(home)))
    programs = {name.removeprefix("program:") for name in config.sections() if name.startswith("program:")}
    assert programs == {
        *("postgres", "redis", "web", "worker-train", "worker-deploy", "worker-light"),
        *("dispatcher", "agent", "gateway"),
    }
    assert programs == LABELS.keys()
    for name in programs:
        section = config[f"program:{name}"]
        assert section["autorestart"] == "true"
        assert section["stdout_logfile_maxbytes"] == "10MB"
        assert section["autostart"] == ("true" if name in {"postgres", "redis"} else "false")


def test_servers_that_the_environment_names_are_not_started(home, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://aisle@db.example/aisle")
    monkeypatch.setenv("REDIS_URL", "redis://cache.example/0")
    assert servers(home) == []
    config = parse(configuration(home, home.supervisor_socket, [], application(home)))
    assert "group:servers" not in config.sections()


def test_no_secret_stands_in_a_command_or_the_configuration(home, monkeypatch):
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("REDIS_URL")
    text = configuration(home, home.supervisor_socket, servers(home), application(home))
    for name in ("SECRET_KEY", "AGENT_TOKEN", "POSTGRES_PASSWORD", "DATABASE_PASSWORD", "REDIS_PASSWORD"):
        assert home.values[name] not in text


def test_a_percent_sign_and_a_space_in_a_path_survive(tmp_path):
    home = StackHome(tmp_path / "100 % ours")
    home.prepare()
    program = Program("web", ["/bin/echo", str(home.path)])
    section = parse(configuration(home, home.supervisor_socket, [], [program]))["program:web"]
    assert section["command"].replace("%%", "%") == f"/bin/echo '{home.path}'"
    assert section["stdout_logfile"].replace("%%", "%") == str(home.logs / "web.log")
    home.remove_socket_folder()
