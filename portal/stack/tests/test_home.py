"""What is chosen for a stack, where it is kept, and when it changes."""

import os
import socket
import stat

from portal.stack.home import SOCKET_PATH_MAX_BYTES, StackHome
from portal.stack.ports import REMEMBERED_PORTS, choose_port, is_free


def listen(port):
    server = socket.create_server(("127.0.0.1", port))
    server.listen()
    return server


def test_secrets_and_ports_are_chosen_once_and_remembered(home):
    again = StackHome(home.path)
    again.load()
    again.prepare()
    assert again.values == home.values


def test_two_stacks_share_neither_secrets_nor_ports(home):
    other = StackHome(home.path / "other")
    with listen(int(home.values["WEB_PORT"])), listen(int(home.values["GATEWAY_PORT"])):
        other.prepare()
    other.remove_socket_folder()
    shared = {name for name in home.values if home.values[name] == other.values[name]}
    assert shared == set()


def test_only_the_owner_may_read_what_was_chosen(home):
    assert stat.S_IMODE(home.file.stat().st_mode) == 0o600
    assert home.values["DATABASE_PASSWORD"] in home.values["DATABASE_URL"]


def test_a_port_that_somebody_took_is_replaced_and_said(home):
    old = home.values["WEB_PORT"]
    with listen(int(old)):
        (sentence,) = home.replace_taken_ports()
    assert old in sentence
    assert home.values["WEB_PORT"] != old
    assert home.values["PUBLIC_URL"].endswith(home.values["WEB_PORT"])
    again = StackHome(home.path)
    again.load()
    assert again.values == home.values


def test_free_ports_stay_as_they_are(home):
    before = dict(home.values)
    assert home.replace_taken_ports() == []
    assert home.values == before


def test_a_chosen_port_lies_outside_the_range_of_outgoing_connections():
    port = choose_port()
    assert port in REMEMBERED_PORTS
    assert is_free(port)


def test_a_preferred_port_is_taken_unless_it_is_in_use():
    port = choose_port()
    assert choose_port(port) == port
    with listen(port):
        assert not is_free(port)
        assert choose_port(port) != port


def test_a_deep_folder_has_a_socket_path_that_the_kernel_takes(tmp_path):
    deep = StackHome(tmp_path / ("deep-" * 20) / ("er-" * 20))
    path = deep.supervisor_socket
    assert len(os.fsencode(path)) <= SOCKET_PATH_MAX_BYTES
    assert path == deep.supervisor_socket, "the same every time"
    deep.prepare()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    deep.remove_socket_folder()
    assert not path.parent.exists()
    assert path.parent.name != StackHome(tmp_path / ("deep-" * 21)).supervisor_socket.parent.name


def test_a_folder_with_an_ordinary_path_keeps_its_socket_inside(tmp_path):
    short = StackHome(tmp_path)
    assert short.supervisor_socket.is_relative_to(short.run) == (
        len(os.fsencode(short.run / "supervisor.sock")) <= SOCKET_PATH_MAX_BYTES
    )
