"""A client of the REST API with one token."""

from uuid import uuid4

from django.test import Client

from portal.core.tokens import create_token

SCOPES = ["datasets:read", "datasets:write", "training:run", "models:read"]


class Api:
    """A client with one token."""

    def __init__(self, actor, shop, scopes=SCOPES):
        _, text = create_token(actor=actor, shop=shop, name="test", scopes=list(scopes))
        self.headers = {"Authorization": f"Bearer {text}"}
        self.client = Client()

    def get(self, path, **headers):
        return self.client.get(f"/api/v1/{path}", headers={**self.headers, **headers})

    def post(self, path, body=None, key=None):
        headers = {**self.headers, "Idempotency-Key": key or str(uuid4())}
        return self.client.post(
            f"/api/v1/{path}", body or {}, content_type="application/json", headers=headers
        )

    def put(self, path, body, content_type="text/csv"):
        return self.client.put(f"/api/v1/{path}", body, content_type=content_type, headers=self.headers)

    def patch(self, path, body, **headers):
        headers = {**self.headers, **headers}
        return self.client.patch(f"/api/v1/{path}", body, content_type="application/json", headers=headers)
