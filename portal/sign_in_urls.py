"""Where people sign in, and one-time links to it, which commands print without loading every other page."""

from django.conf import settings
from django.urls import path, reverse

from portal import accounts
from portal.core.models import User
from portal.core.people import sign_in_links

urlpatterns = [
    path("sign-in", accounts.SignIn.as_view(), name="sign_in"),
    path("sign-in/<str:user_id>/<str:token>", accounts.sign_in_by_link, name="sign_in_by_link"),
]


def one_time_link(user: User) -> str:
    """Make a link that signs this person in once; valid until then, for a day at most."""
    address = reverse("sign_in_by_link", urlconf=__name__, args=[user.pk, sign_in_links.make_token(user)])
    return settings.PUBLIC_URL + address
