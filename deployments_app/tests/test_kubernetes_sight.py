"""What is at rest is seen in lists that are shared; no list is older than the moment it came to rest."""

import time

import pytest

from deployments_app.backends.kubernetes_sight import Overview, Sight, select


def thing(name, **labels):
    return {"metadata": {"name": name, "labels": labels}}


class Shelf:
    """What stands in a namespace, and how often it was asked for."""

    def __init__(self, namespace):
        self.namespace, self.objects, self.asked = namespace, {}, []

    def put(self, name, **labels):
        self.objects[name] = thing(name, **labels)

    def get(self, kind, name):
        self.asked.append(f"get {kind} {name}")
        return self.objects.get(name)

    def find(self, kind, selector):
        self.asked.append(f"list {kind}")
        return [*self.objects.values()]


@pytest.fixture
def shelf(request):
    return Shelf(request.node.name)  # sights of one namespace share what they know


def test_a_list_is_asked_for_once_while_it_is_new_enough():
    asked = []

    def ask():
        asked.append(1)
        return [thing("a"), thing("b")]

    overview, began = Overview(), time.monotonic()
    assert set(overview.find("Pod", since=began, ask=ask)) == {"a", "b"}
    assert set(overview.find("Pod", since=began, ask=ask)) == {"a", "b"}
    assert len(asked) == 1
    overview.find("Service", since=began, ask=ask)
    assert len(asked) == 2
    overview.find("Pod", since=time.monotonic(), ask=ask)
    assert len(asked) == 3


def test_what_is_at_rest_shares_a_list_and_what_is_not_is_looked_at_itself(shelf):
    sight = Sight(shelf)
    for name in ("a", "b", "c"):
        shelf.put(name)
    for key in ("a", "b"):
        sight.note(key, is_ready=True)
    assert [sight.see(key, "Deployment", key)["metadata"]["name"] for key in "abcab"] == [*"abcab"]
    assert shelf.asked == ["list Deployment", "get Deployment c"]
    sight.note("b", is_ready=False)
    sight.see("b", "Deployment", "b")
    assert shelf.asked[2:] == ["get Deployment b"]


def test_no_list_is_believed_that_is_older_than_a_change(shelf):
    """Another one at rest had it listed before the change, and its list is still new enough for itself."""
    sight = Sight(shelf)
    for key in ("a", "b"):
        shelf.put(key, size="1")
        sight.note(key, is_ready=True)
    assert sight.see("a", "Deployment", "a")["metadata"]["labels"] == {"size": "1"}
    sight.wake("a")
    shelf.put("a", size="2")
    assert sight.see("a", "Deployment", "a")["metadata"]["labels"] == {"size": "2"}
    sight.note("a", is_ready=True)
    sight.see("b", "Deployment", "b")
    assert shelf.asked == ["list Deployment", "get Deployment a"]
    assert sight.see("a", "Deployment", "a")["metadata"]["labels"] == {"size": "2"}
    assert shelf.asked[2:] == ["list Deployment"]


def test_pods_are_chosen_by_label_from_a_list_as_by_the_server(shelf):
    sight = Sight(shelf)
    shelf.put("x-1", release="x")
    shelf.put("y-1", release="y")
    sight.note("x", is_ready=True)
    assert [each["metadata"]["name"] for each in sight.pods("x", "release=x")] == ["x-1"]
    pods = {each["metadata"]["name"]: each for each in (thing("a", app="x", tier="y"), thing("b", app="x"))}
    assert [each["metadata"]["name"] for each in select(pods, "app=x")] == ["a", "b"]
    assert [each["metadata"]["name"] for each in select(pods, "app=x,tier=y")] == ["a"]
