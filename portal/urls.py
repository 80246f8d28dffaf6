"""Every address: the shell's own, the API's, and each shop's pages."""

from django.conf import settings
from django.urls import include, path

from deployments_app import urls as deployments_urls
from models_app import urls as models_urls
from monitoring_app import urls as monitoring_urls
from portal import accounts, api, probes, views

shop_pages = [
    path("", views.home, name="home"),
    path("activity", views.activity, name="activity"),
    path("jobs", views.jobs, name="jobs"),
    path("settings", views.settings_page, name="settings"),
    path("people", views.people, name="people"),
    path("people/<str:membership_id>", views.person_change, name="person_change"),
    path("tokens", views.tokens, name="tokens"),
    path("tokens/<str:token_id>/revoke", views.token_revoke, name="token_revoke"),
    path("integrate", views.integrate, name="integrate"),
    *models_urls.urlpatterns,
    *deployments_urls.urlpatterns,
    *monitoring_urls.urlpatterns,
]

urlpatterns = [
    path("", views.start, name="start"),
    path("", include("portal.sign_in_urls")),
    path("sign-out", accounts.SignOut.as_view(), name="sign_out"),
    path("password", accounts.change_password, name="password"),
    path("theme", accounts.theme, name="theme"),
    path("csp-report", probes.csp_report, name="csp_report"),
    path("healthz", probes.healthz, name="healthz"),
    path("metrics", probes.metrics, name="metrics"),
    path("api/docs", api.docs, name="api_docs"),
    path("api/v1/", include(api.urlpatterns)),
    path("gateway/v1/", include(api.gateway_urlpatterns)),
    *([path("gallery", views.gallery, name="gallery")] if settings.DEBUG else []),
    path("<slug:shop>/", include(shop_pages)),
]

handler400 = "portal.failures.bad_request"
handler403 = "portal.failures.forbidden"
handler404 = "portal.failures.not_found"
handler500 = "portal.failures.server_error"
