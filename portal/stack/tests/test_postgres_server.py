"""Two stacks that start at once on a fresh machine make PostgreSQL's user once."""

import os
import subprocess
import threading
import time

from portal.stack import postgres_server


def test_whoever_comes_second_waits_until_the_user_is_whole(monkeypatch, tmp_path):
    users = []

    def find_user(name):
        if not users:
            raise KeyError(name)

    def make_user(command, **options):
        users.append("in parts")
        time.sleep(0.3)
        users.append("whole")

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(postgres_server, "USERS_KEPT_IN", str(tmp_path))
    monkeypatch.setattr(postgres_server.pwd, "getpwnam", find_user)
    monkeypatch.setattr(subprocess, "run", make_user)
    seen = []
    both = [
        threading.Thread(target=lambda: seen.append((postgres_server.system_user(), list(users))))
        for _ in range(2)
    ]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert seen == [(postgres_server.SYSTEM_USER, ["in parts", "whole"])] * 2
